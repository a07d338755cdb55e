// Boxes: formats, overlaps by hand and pairwise, gradients by finite differences, degenerate and empty input.
#include "nn/boxes.h"
#include "support/hash_fill.h"
#include "support/test.h"

using namespace moe::nn;

static double distance(const at::Tensor& a, const at::Tensor& b) {
  return (a - b).abs().max().item<double>();
}

static at::Tensor some_boxes(const std::string& name, int64_t count) {  // xyxy
  const at::Tensor u = hash_fill::uniform(name, {count, 4});
  return cxcywh_to_xyxy(at::cat({0.2 + 0.6 * u.slice(1, 0, 2), 0.05 + 0.3 * u.slice(1, 2, 4)}, 1));
}

static void test_formats(void**) {
  const at::Tensor box = at::tensor({0.5, 0.25, 0.2, 0.1}, at::kDouble);
  CHECK(distance(cxcywh_to_xyxy(box), at::tensor({0.4, 0.2, 0.6, 0.3}, at::kDouble)) < 1e-15);
  const at::Tensor many = hash_fill::uniform("formats", {3, 5, 4});
  CHECK(distance(xyxy_to_cxcywh(cxcywh_to_xyxy(many)), many) < 1e-15);
}

static void test_by_hand(void**) {
  const at::Tensor a = at::tensor({0.0, 0.0, 2.0, 2.0}, at::kDouble).view({1, 4});
  const at::Tensor b =
      at::tensor({1.0, 1.0, 3.0, 3.0, 4.0, 0.0, 6.0, 2.0, 0.0, 0.0, 2.0, 2.0}, at::kDouble).view({3, 4});
  const Overlap all = pairwise_overlap(a, b);
  CHECK(distance(all.iou, at::tensor({1.0 / 7, 0.0, 1.0}, at::kDouble)) < 1e-15);
  CHECK(distance(all.giou, at::tensor({1.0 / 7 - 2.0 / 9, -1.0 / 3, 1.0}, at::kDouble)) < 1e-15);
}

static void test_pairs(void**) {
  const at::Tensor a = some_boxes("a", 7), b = some_boxes("b", 7);
  const Overlap one = overlap(a, b), all = pairwise_overlap(a, b);
  CHECK(distance(all.iou.diagonal(), one.iou) == 0 && distance(all.giou.diagonal(), one.giou) == 0);
  CHECK(pairwise_overlap(a, b.slice(0, 0, 0)).iou.sizes() == at::IntArrayRef({7, 0}));
}

static void test_degenerate(void**) {
  const at::Tensor point = at::full({1, 4}, 0.5, at::kFloat);
  const Overlap same = overlap(point, point);
  CHECK(same.iou.item<double>() == 0 && same.giou.item<double>() == 0);
}

static void test_gradient(void**) {
  const at::Tensor a = some_boxes("a", 5), b = some_boxes("b", 5);
  const at::Tensor leaf = a.clone().requires_grad_();
  overlap(leaf, b).giou.sum().backward();
  constexpr double step = 1e-6;
  for (int64_t i = 0; i < a.numel(); ++i) {
    at::Tensor up = a.clone(), down = a.clone();
    up.view(-1)[i] += step;
    down.view(-1)[i] -= step;
    const double slope = (overlap(up, b).giou.sum() - overlap(down, b).giou.sum()).item<double>() / (2 * step);
    CHECK_NEAR(leaf.grad().view(-1)[i].item<double>(), slope, 1e-6);
  }
}

static void test_inverse_sigmoid(void**) {
  const at::Tensor x = at::tensor({-1.0, 0.0, 0.25, 1.0, 2.0}, at::kDouble);
  const double edge = std::log(1e5);
  CHECK(distance(inverse_sigmoid(x), at::tensor({-edge, -edge, std::log(1.0 / 3), edge, edge}, at::kDouble)) < 1e-12);
}

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(test_formats),    cmocka_unit_test(test_by_hand),  cmocka_unit_test(test_pairs),
      cmocka_unit_test(test_degenerate), cmocka_unit_test(test_gradient), cmocka_unit_test(test_inverse_sigmoid),
  };
  return cmocka_run_group_tests(tests, nullptr, nullptr);
}
