// What a machine says that cannot use CUDA, and the choice of the grouped product, which needs no GPU to be tested.
#include <torch/torch.h>

#include "cuda/grouped_route.h"
#include "device_under_test.h"
#include "support/tiny.h"
#include "train/session.h"

using moe::cuda::choose_route;
using moe::cuda::GroupedRoute;

static void route_of_grouped_products(void**) {
  constexpr auto torch = GroupedRoute::torch_grouped_mm, cublas = GroupedRoute::cublas_grouped;
  CHECK(choose_route(at::kBFloat16, 90, 8, {256, 1024}) == torch);
  CHECK(choose_route(at::kBFloat16, 100, 8, {256, 1024}) == torch);
  CHECK(choose_route(at::kBFloat16, 90, 1023, {8}) == torch);
  CHECK(choose_route(at::kBFloat16, 90, 1024, {8}) == cublas);       // its kernel takes fewer groups
  CHECK(choose_route(at::kBFloat16, 90, 8, {256, 1020}) == cublas);  // rows of whole 16-byte units
  CHECK(choose_route(at::kBFloat16, 80, 8, {256, 1024}) == cublas);  // a loop there
  CHECK(choose_route(at::kBFloat16, 120, 8, {256, 1024}) == cublas);
  CHECK(choose_route(at::kFloat, 90, 8, {256, 1024}) == cublas);
}

// One line, whatever is missing; the same one when asked again.
static void problem_is_one_line(void**) {
  const std::string problem = moe::cuda::device_problem();
  print_message("device: %s\n", problem.empty() ? "usable" : problem.c_str());
  CHECK(problem.find('\n') == std::string::npos);
  CHECK(problem == moe::cuda::device_problem());
  if (!problem.empty()) CHECK_ERROR(MOE_ERR_DEVICE, problem, moe::cuda::device_kernels());
}

static void session_on_cuda(void**) {
  const auto create = [] { moe::Session(moe::tiny::config({{"device", "cuda"}}), moe::Log()); };
  const std::string problem = moe::cuda::device_problem();
  CHECK_ERROR(MOE_ERR_CONFIG, "device: expected cpu, got cuda: " + problem, create());
}

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(route_of_grouped_products),
      cmocka_unit_test(problem_is_one_line),
      cmocka_unit_test(session_on_cuda),
  };
  return cmocka_run_group_tests(tests, nullptr, nullptr);
}
