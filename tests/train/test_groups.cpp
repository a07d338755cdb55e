// Sorting parameters into optimizer groups.
#include "support/test.h"

#include <ATen/ATen.h>

#include "train/optimizer.h"
#include "train/settings.h"

using namespace moe;

static std::vector<NamedParameter> parameters() {
  const at::Tensor matrix = at::zeros({2, 2}), vector = at::zeros({2});
  return {{"backbone.conv.weight", matrix, false, true},
          {"backbone.norm.weight", vector, true, true},
          {"encoder.linear.weight", matrix, false, false},
          {"encoder.linear.bias", vector, true, false},
          {"decoder.query", matrix, false, false}};
}

// "name lr weight_decay: members; ..."
static std::string sorted(const std::string& yaml) {
  std::string out;
  for (const ParameterGroup& group : make_groups(settings(yaml), parameters())) {
    out += text(group.name, " ", format_double(group.lr), " ", format_double(group.weight_decay), ":");
    for (size_t member : group.members) out += text(" ", member);
    out += "; ";
  }
  return out;
}

static void check_groups(const std::string& yaml, const char* want) {
  assert_string_equal(sorted(yaml).c_str(), want);
}

static void test_default_group(void**) {
  check_groups("optimizer: {lr: 0.5, weight_decay: 0.25}", "default 0.5 0.25: 0 2 4; default/no_decay 0.5 0: 1 3; ");
}

static void test_by_origin(void**) {
  check_groups("optimizer: {weight_decay: 0.25, groups: {pretrained: {lr: 0.1}, new: {lr: 0.2, weight_decay: 0.125}}}",
               "pretrained 0.1 0.25: 0; pretrained/no_decay 0.1 0: 1; new 0.2 0.125: 2 4; new/no_decay 0.2 0: 3; ");
}

static void test_one_origin_leaves_the_rest(void**) {
  check_groups(
      "optimizer: {lr: 0.5, weight_decay: 0.25, groups: {pretrained: {lr: 0.1}}}",
      "pretrained 0.1 0.25: 0; pretrained/no_decay 0.1 0: 1; default 0.5 0.25: 2 4; default/no_decay 0.5 0: 3; ");
}

static void test_match_goes_before_origin(void**) {
  check_groups(
      "optimizer: {lr: 0.5, weight_decay: 0.25, groups: {enc: {match: ['^encoder\\.', query$]}, pretrained: {lr: "
      "0.1}}}",
      "enc 0.5 0.25: 2 4; enc/no_decay 0.5 0: 3; pretrained 0.1 0.25: 0; pretrained/no_decay 0.1 0: 1; ");
}

static void test_origin_name_with_patterns_goes_by_name(void**) {
  check_groups("optimizer: {lr: 0.5, weight_decay: 0, groups: {new: {match: [query], lr: 0.1}}}",
               "new 0.1 0: 4; default 0.5 0: 0 2; default/no_decay 0.5 0: 1 3; ");
}

static void test_settings_of_the_default_group(void**) {
  check_groups("optimizer: {lr: 0.5, groups: {default: {lr: 0.1, weight_decay: 0.25}, new: {weight_decay: 0}}}",
               "new 0.5 0: 2 4; new/no_decay 0.5 0: 3; default 0.1 0.25: 0; default/no_decay 0.1 0: 1; ");
}

static void test_no_decay_rules(void**) {
  check_groups("optimizer: {lr: 0.5, weight_decay: 0.25, no_decay: []}", "default 0.5 0.25: 0 1 2 3 4; ");
  check_groups("optimizer: {lr: 0.5, weight_decay: 0.25, no_decay: [query, norm]}",
               "default 0.5 0.25: 0 2 3; default/no_decay 0.5 0: 1 4; ");
  check_groups("optimizer: {lr: 0.5, weight_decay: 0.25, no_decay: [norm_bias, query]}",
               "default 0.5 0.25: 0 2; default/no_decay 0.5 0: 1 3 4; ");
}

static void test_empty_origin_groups_are_left_out(void**) {
  std::vector<NamedParameter> fresh = parameters();
  for (NamedParameter& parameter : fresh) parameter.pretrained = false;
  const auto groups = make_groups(settings("optimizer: {groups: {pretrained: {lr: 0.1}, new: {lr: 0.2}}}"), fresh);
  CHECK(groups.size() == 2 && groups[0].name == "new" && groups[1].name == "new/no_decay");
}

static void test_errors(void**) {
  CHECK_ERROR(MOE_ERR_CONFIG, "got \"encoder.linear.weight\" in \"a\" and \"b\"",
              sorted("optimizer: {groups: {a: {match: [encoder]}, b: {match: [linear]}}}"));
  CHECK_ERROR(MOE_ERR_CONFIG, "got \"neck, head\", which matches no parameter",
              sorted("optimizer: {groups: {a: {match: [neck, head]}}}"));
  CHECK_ERROR(MOE_ERR_CONFIG, "test.yml:1:", sorted("optimizer: {groups: {a: {match: ['(']}}}"));
  CHECK_ERROR(MOE_ERR_CONFIG, "expected regular expressions, got \"[\"", sorted("optimizer: {no_decay: ['[']}"));
  CHECK_ERROR(MOE_ERR_CONFIG, "expected match patterns for group \"a\"", sorted("optimizer: {groups: {a: {lr: 0.1}}}"));
  CHECK_ERROR(MOE_ERR_CONFIG, "expected no patterns", sorted("optimizer: {groups: {default: {match: [a]}}}"));
}

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(test_default_group),
      cmocka_unit_test(test_by_origin),
      cmocka_unit_test(test_one_origin_leaves_the_rest),
      cmocka_unit_test(test_match_goes_before_origin),
      cmocka_unit_test(test_origin_name_with_patterns_goes_by_name),
      cmocka_unit_test(test_settings_of_the_default_group),
      cmocka_unit_test(test_no_decay_rules),
      cmocka_unit_test(test_empty_origin_groups_are_left_out),
      cmocka_unit_test(test_errors),
  };
  return cmocka_run_group_tests(tests, nullptr, nullptr);
}
