// A program whose libmoe is another one than its header's: the version functions of this program stand in front of the
// library's. Every constructor and free function must throw MOE_ERR_VERSION, and work once the library is the right
// one.
#include "support.h"

static std::int32_t abi = MOE_ABI, version_number = MOE_VERSION;

extern "C" {
std::int32_t moe_abi_version(void) {
  return abi;
}
std::int32_t moe_version(void) {
  return version_number;
}
}

static void an_older_library_is_an_error(void**) {
  version_number = MOE_VERSION - 1;
  FAILS(MOE_ERR_VERSION, "expected version", moe::Batch{});
  FAILS(MOE_ERR_VERSION, "expected version", moe::Config::load("nowhere.yml"));
  FAILS(MOE_ERR_VERSION, "expected version", moe::Config::describe());
  FAILS(MOE_ERR_VERSION, "expected version", moe::build_info());
  FAILS(MOE_ERR_VERSION, "expected version", moe::set_threads(1));
  FAILS(MOE_ERR_VERSION, "expected version", moe::generate("traffic", "nowhere"));
  FAILS(MOE_ERR_VERSION, "expected version", moe::coco_evaluate("nowhere.json", "nowhere.json"));
  version_number = MOE_VERSION;
}

static void another_binary_interface_is_an_error(void**) {
  abi = MOE_ABI + 1;
  FAILS(MOE_ERR_VERSION, "expected binary interface", moe::Batch{});
  abi = MOE_ABI;
}

static void the_right_one_works(void**) {
  version_number = MOE_VERSION + 100;
  CHECK(moe::Batch{}.size() == 0);
}

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(an_older_library_is_an_error),
      cmocka_unit_test(another_binary_interface_is_an_error),
      cmocka_unit_test(the_right_one_works),
  };
  return cmocka_run_group_tests_name("other_library", tests, nullptr, nullptr);
}
