// The barrier of the C boundary: every kind of exception becomes a status and one line, and thread-local modes are
// restored. MOE_ERR_INTERNAL cannot be provoked through the header without a defect, so it is shown here.
#include "support/test.h"

#include <torch/torch.h>

#include <new>
#include <stdexcept>
#include <vector>

#include "../capi/buffers.h"
#include "../capi/guard.h"

using namespace moe::capi;

// Allocations by operator new since the last reset.
static thread_local int64_t allocations = 0;
void* operator new(size_t bytes) {
  ++allocations;
  if (void* memory = std::malloc(bytes)) return memory;
  throw std::bad_alloc();
}
void operator delete(void* memory) noexcept {
  std::free(memory);
}
void operator delete(void* memory, size_t) noexcept {
  std::free(memory);
}

static void expect(moe_status got, moe_status want, const std::string& text) {
  if (got == want && text == last_error().text && last_error().status == want) return;
  std::fprintf(stderr, "got %d: %s\nexpected %d: %s\n", got, last_error().text, want, text.c_str());
  _fail(__FILE__, __LINE__);
}

static void results_pass_through(void**) {
  CHECK(guard([] {}) == MOE_OK);
  CHECK(guard([]() -> moe_status { return MOE_END; }) == MOE_END);
}

static void our_own_errors_keep_status_and_position(void**) {
  expect(guard([] { moe::fail(MOE_ERR_SHAPE, "boxes: expected [N, 4], got [3]"); }), MOE_ERR_SHAPE,
         "boxes: expected [N, 4], got [3]");
  CHECK(last_error().line == 0 && last_error().column == 0);
  expect(guard([] {
           throw moe::Error(MOE_ERR_CONFIG, {"a.yml", 12, 7}, "lr: expected a number");
         }),
         MOE_ERR_CONFIG, "a.yml:12:7: lr: expected a number");
  CHECK(last_error().line == 12 && last_error().column == 7);
}

static void foreign_exceptions_are_internal(void**) {
  expect(guard([] { throw std::runtime_error("two\nlines\tand\x7F"); }), MOE_ERR_INTERNAL, "two lines and ");
  expect(guard([] { throw 7; }), MOE_ERR_INTERNAL, "an exception that is no std::exception reached the boundary");
}

static void torch_errors_have_no_backtrace(void**) {
  CHECK(guard([] { at::ones({2, 3}).mm(at::ones({2, 3})); }) == MOE_ERR_INTERNAL);
  const std::string text = last_error().text;
  CHECK(text.find("cannot be multiplied") != std::string::npos);
  CHECK(text.find("frame #") == std::string::npos && text.find("Exception raised") == std::string::npos);
}

static const std::string out_of_memory = "out of memory: an allocation failed, nothing was changed";

static void every_way_to_run_out_of_memory(void**) {
  expect(guard([] { throw std::bad_alloc(); }), MOE_ERR_OUT_OF_MEMORY, out_of_memory);
  expect(guard([] { std::vector<char> vast(size_t{1} << 60); }), MOE_ERR_OUT_OF_MEMORY, out_of_memory);
  expect(guard([] { at::empty({int64_t{1} << 60}, at::kByte); }), MOE_ERR_OUT_OF_MEMORY, out_of_memory);
}

static void out_of_memory_allocates_nothing(void**) {
  int64_t before = 0;
  const moe_status status = guard([&] {
    before = allocations;
    throw std::bad_alloc();
  });
  CHECK(status == MOE_ERR_OUT_OF_MEMORY);
  CHECK(allocations == before);
}

static void thread_modes_are_set_and_restored(void**) {
  at::NoGradGuard no_grad;
  at::autocast::set_autocast_enabled(at::kCPU, true);
  at::autocast::set_autocast_dtype(at::kCPU, at::kHalf);
  const auto check_inside = [] {
    CHECK(at::GradMode::is_enabled() && !at::autocast::is_autocast_enabled(at::kCPU));
    at::GradMode::set_enabled(false);
    at::autocast::set_autocast_dtype(at::kCPU, at::kBFloat16);
    throw std::runtime_error("left in the middle");
  };
  CHECK(guard(check_inside) == MOE_ERR_INTERNAL);
  CHECK(!at::GradMode::is_enabled());
  CHECK(at::autocast::is_autocast_enabled(at::kCPU) && at::autocast::get_autocast_dtype(at::kCPU) == at::kHalf);
  at::autocast::set_autocast_enabled(at::kCPU, false);

  const c10::InferenceMode inference;
  CHECK(guard([] { CHECK(!c10::InferenceMode::is_enabled()); }) == MOE_OK);
  CHECK(c10::InferenceMode::is_enabled());
}

static void text_is_cut_between_characters(void**) {
  std::string text(1022, 'x');
  text += "\xE2\x82\xAC";  // U+20AC, three bytes, would end at 1025
  expect(guard([&] { throw std::runtime_error(text); }), MOE_ERR_INTERNAL, std::string(1022, 'x'));
  expect(guard([&] { throw std::runtime_error(std::string(5000, 'y')); }), MOE_ERR_INTERNAL, std::string(1023, 'y'));
}

// A struct as an older header knows it: the tail is neither read nor written.
struct Grown {
  uint32_t struct_size;
  int32_t first;
  int32_t added = 5;
};
template <>
constexpr uint32_t moe::capi::first_size<Grown> = 8;

static void older_structs_keep_working(void**) {
  Grown old = {8, 1, -1};
  const Grown read = read_struct(&old, "options", Grown{sizeof(Grown), 0, 5});
  CHECK(read.first == 1 && read.added == 5);
  write_struct(Grown{sizeof(Grown), 2, 9}, &old);
  CHECK(old.struct_size == 8 && old.first == 2 && old.added == -1);
  for (const uint32_t size : {0U, 7U, 13U}) {
    old.struct_size = size;
    CHECK_ERROR(MOE_ERR_INVALID_ARGUMENT, "options.struct_size: expected 12", require_struct(&old, "options"));
  }
}

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(results_pass_through),
      cmocka_unit_test(our_own_errors_keep_status_and_position),
      cmocka_unit_test(foreign_exceptions_are_internal),
      cmocka_unit_test(torch_errors_have_no_backtrace),
      cmocka_unit_test(every_way_to_run_out_of_memory),
      cmocka_unit_test(out_of_memory_allocates_nothing),
      cmocka_unit_test(thread_modes_are_set_and_restored),
      cmocka_unit_test(text_is_cut_between_characters),
      cmocka_unit_test(older_structs_keep_working),
  };
  return cmocka_run_group_tests_name("guard", tests, nullptr, nullptr);
}
