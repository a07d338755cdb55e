// Text helpers and the error type: strict numbers, round trips, nearest names, one-line messages.
#include "base/text.h"

#include <cmath>
#include <limits>

#include "base/error.h"
#include "base/rng.h"
#include "support/test.h"

using namespace moe;

using Texts = std::vector<std::string>;

static void parts_are_joined(void**) {
  CHECK(text("a", 1, 'b', true, int64_t{-3}, std::string("c"), 0.5) == "a1btrue-3c0.5");
  CHECK(text().empty());
  CHECK(join({"a", "b", "c"}, ", ") == "a, b, c");
  CHECK(join({}, ", ").empty());
}

static void splitting_keeps_empty_parts(void**) {
  CHECK((split("a..b.", '.') == Texts{"a", "", "b", ""}));
  CHECK((split("", '.') == Texts{""}));
  CHECK(trim(" \t a b \n") == "a b" && trim(" \n").empty());
  CHECK(lower("AbÄ1") == "abÄ1");
}

static void integers_are_decimal_only(void**) {
  CHECK(parse_int("0") == 0 && parse_int("-12") == -12 && parse_int("9223372036854775807") == INT64_MAX);
  for (const char* wrong :
       {"", "-", "+1", "010", "-01", "0x1", "1.0", "1e3", " 1", "1 ", "9223372036854775808", "1_000"}) {
    CHECK(!parse_int(wrong));
  }
}

static void numbers_are_finite_decimals(void**) {
  CHECK(parse_double("1e-4") == 1e-4 && parse_double("-.5") == -0.5 && parse_double("3") == 3.0);
  for (const char* wrong : {"", ".", "inf", "nan", "-inf", "0x1p3", "1e999", "1,5", " 1", "1 ", "1f", "infinity"}) {
    CHECK(!parse_double(wrong));
  }
}

static void printed_numbers_read_back_exactly(void**) {
  CHECK(format_double(0.1) == "0.1" && format_double(1e-5) == "1e-05" && format_double(3) == "3");
  Rng rng(3, "test.text");
  for (int i = 0; i < 2000; ++i) {
    const double value = rng.normal() * std::pow(10.0, rng.uniform(-300, 300));
    CHECK(parse_double(format_double(value)) == value);
  }
}

static void durations_are_for_people(void**) {
  CHECK(format_duration(0.4) == "0s" && format_duration(12.6) == "13s" && format_duration(-1) == "0s");
  CHECK(format_duration(123) == "2m 03s");
  CHECK(format_duration(3723) == "1h 02m 03s");
}

static void distances_count_edits(void**) {
  CHECK(edit_distance("", "") == 0 && edit_distance("abc", "") == 3 && edit_distance("", "ab") == 2);
  CHECK(edit_distance("kitten", "sitting") == 3);
  CHECK(edit_distance("lr", "rl") == 1);   // a swap of neighbours is one edit
  CHECK(edit_distance("ca", "abc") == 3);  // optimal string alignment, not full Damerau-Levenshtein (2)
  Rng rng(4, "test.text.distance");
  const auto word = [&] {
    std::string out;
    for (int64_t i = rng.below(8); i > 0; --i) out += static_cast<char>('a' + rng.below(3));
    return out;
  };
  for (int i = 0; i < 500; ++i) {
    const std::string a = word(), b = word();
    CHECK(edit_distance(a, b) == edit_distance(b, a));
    CHECK((edit_distance(a, b) == 0) == (a == b));
  }
}

static void nearest_names_come_first(void**) {
  CHECK((nearest("epoch", {"seed", "epochs", "batch"}) == Texts{"epochs"}));
  CHECK((nearest("aa", {"ab", "aa", "ac", "ad"}, 3) == Texts{"aa", "ab", "ac"}));
  CHECK(nearest("completely", {"else"}).empty());
  CHECK(did_you_mean("epoch", {"epochs"}) == ", did you mean \"epochs\"?");
  CHECK(did_you_mean("zzzzzz", {"epochs"}).empty());
}

static void quoted_text_stays_on_one_line(void**) {
  CHECK(quote("a\nb\x7f") == "\"a\\x0ab\\x7f\"");
  CHECK(quote("größe") == "\"größe\"");
  CHECK(quote(std::string(100, 'x'), 10) == "\"xxxxxxxxxx...\"");
  CHECK(quote("größe", 3) == "\"gr...\"" && quote("größe", 4) == "\"grö...\"" && quote("größe", 7) == "\"größe\"");
  CHECK(quote("\xf0\x9f\x9a\x97", 3) == "\"...\"" && quote("\xc3\xa4\xc3\xa4", 3) == "\"\xc3\xa4...\"");
  CHECK(quote(std::string(9, '\x80'), 6).size() == 11);  // no character at all: cut at the limit
}

static void errors_carry_status_place_and_text(void**) {
  const Error error(MOE_ERR_CONFIG, {"a.yml", 12, 7}, "lr: expected a number");
  CHECK(std::string(error.what()) == "a.yml:12:7: lr: expected a number");
  CHECK(error.status() == MOE_ERR_CONFIG && error.where().line == 12);
  CHECK((Position{"a.yml", 3, 0}.str() == "a.yml:3") && (Position{"a.yml", 0, 0}.str() == "a.yml") &&
        Position().str().empty());
  CHECK_ERROR(MOE_ERR_SHAPE, "expected 4, got 3", fail(MOE_ERR_SHAPE, "expected ", 4, ", got ", 3));
  CHECK_ERROR(MOE_ERR_DATA, "no", check(false, MOE_ERR_DATA, "no"));
  check(true, MOE_ERR_DATA, "never");
}

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(parts_are_joined),
      cmocka_unit_test(splitting_keeps_empty_parts),
      cmocka_unit_test(integers_are_decimal_only),
      cmocka_unit_test(numbers_are_finite_decimals),
      cmocka_unit_test(printed_numbers_read_back_exactly),
      cmocka_unit_test(durations_are_for_people),
      cmocka_unit_test(distances_count_edits),
      cmocka_unit_test(nearest_names_come_first),
      cmocka_unit_test(quoted_text_stays_on_one_line),
      cmocka_unit_test(errors_carry_status_place_and_text),
  };
  return cmocka_run_group_tests(tests, nullptr, nullptr);
}
