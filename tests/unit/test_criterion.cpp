// The criterion against the official one in fp64 (matches, terms, gradients), against finite differences, in fp32, and
// on images without objects.
#include "rtdetr_golden.h"
#include "tensor/scope.h"

using namespace moe::rtdetr;

static at::Tensor total(const SetLoss& loss) {
  return loss.vfl + loss.bbox + loss.giou;
}

static void test_matches(void**) {
  const Matches matches = match({}, golden::prediction(), golden::targets(), "test");
  CHECK(golden::equal(matches.image, {0, 0, 0, 1, 1}));
  CHECK(golden::equal(matches.query, {3, 4, 8, 3, 5}));
  CHECK(golden::equal(matches.target, {0, 1, 2, 4, 3}));
}

static void test_golden(void**) {
  Prediction prediction = golden::prediction();
  prediction.logits.requires_grad_();
  prediction.boxes.requires_grad_();
  const Targets targets = golden::targets();
  const SetLoss loss = set_loss({}, prediction, targets, match({}, prediction, targets, "test"), 5);
  CHECK_NEAR(loss.vfl.item<double>(), 6.61934507, 1e-8);
  CHECK_NEAR(loss.bbox.item<double>(), 1.85232169, 1e-8);
  CHECK_NEAR(loss.giou.item<double>(), 2.23161814, 1e-8);
  CHECK_NEAR(total(loss).item<double>(), 10.7032849069, 1e-10);
  total(loss).backward();
  CHECK_NEAR(prediction.logits.grad().abs().sum().item<double>(), 3.5454058895, 1e-10);
  CHECK_NEAR(prediction.boxes.grad().abs().sum().item<double>(), 32.2478481740, 1e-10);
}

static void test_box_gradient(void**) {
  const Targets targets = golden::targets();
  const Prediction base = golden::prediction();
  const Matches matches = match({}, base, targets, "test");
  const at::Tensor leaf = base.boxes.clone().requires_grad_();
  const SetLoss loss = set_loss({}, {base.logits, leaf}, targets, matches, 5);
  (loss.bbox + loss.giou).backward();
  const auto value = [&](int64_t i, double step) {
    at::Tensor boxes = base.boxes.clone();
    boxes.view(-1)[i] += step;
    const SetLoss moved = set_loss({}, {base.logits, boxes}, targets, matches, 5);
    return (moved.bbox + moved.giou).item<double>();
  };
  constexpr double step = 1e-6;
  for (int64_t i = 0; i < base.boxes.numel(); ++i) {
    CHECK_NEAR(leaf.grad().view(-1)[i].item<double>(), (value(i, step) - value(i, -step)) / (2 * step), 1e-6);
  }
}

// d/dlogit of w BCE(logit, q) is w (p - q), with w and q held.
static void test_class_gradient(void**) {
  const Targets targets = golden::targets();
  Prediction prediction = golden::prediction();
  prediction.logits.requires_grad_();
  const Matches matches = match({}, prediction, targets, "test");
  set_loss({}, prediction, targets, matches, 1).vfl.backward();
  const double p = at::sigmoid(prediction.logits[0][0][0]).item<double>();
  CHECK_NEAR(prediction.logits.grad()[0][0][0].item<double>(), 0.75 * p * p * p, 1e-12);
}

static void test_float_and_autocast(void**) {
  const Targets targets = golden::targets();
  Prediction prediction = golden::prediction();
  prediction = {prediction.logits.to(at::kFloat), prediction.boxes.to(at::kFloat)};
  const moe::AutocastScope autocast(at::kBFloat16);
  const SetLoss loss = set_loss({}, prediction, targets, match({}, prediction, targets, "test"), 5);
  CHECK(loss.vfl.scalar_type() == at::kFloat);
  CHECK_NEAR(total(loss).item<double>(), 10.7032849069, 1e-6);
}

static void test_no_objects(void**) {
  const Targets none = {at::zeros({0, 4}), at::zeros({0}, at::kLong), {0, 0, 0}};
  Prediction prediction = golden::prediction();
  prediction.logits.requires_grad_();
  const Matches matches = match({}, prediction, none, "test");
  CHECK(matches.query.numel() == 0);
  const SetLoss loss = set_loss({}, prediction, none, matches, 1);
  CHECK(loss.bbox.item<double>() == 0 && loss.giou.item<double>() == 0 && loss.vfl.item<double>() > 0);
  total(loss).backward();
  CHECK(at::isfinite(prediction.logits.grad()).all().item<bool>());
}

// Once a NaN was caught by an assert without a name, or not at all.
static void defect_20_bad_values_are_named(void**) {
  Prediction prediction = golden::prediction();
  prediction.boxes[1][2][0] = std::nan("");
  CHECK_ERROR(MOE_ERR_NUMERIC, "decoder layer 2: expected finite",
              match({}, prediction, golden::targets(), "decoder layer 2"));
}

// The matching cost uses the same sigmoid scores as the loss, not a softmax over classes: a query sure of two classes
// is as good a match for each as one that is sure of one.
static void defect_15_cost_is_sigmoid(void**) {
  const at::Tensor box = at::tensor({0.5, 0.5, 0.2, 0.2}, at::kDouble);
  const at::Tensor logits = at::tensor({5.0, 5.0, 4.0, -9.0}, at::kDouble).view({1, 2, 2});
  const Targets one = {box.view({1, 4}), at::tensor({0}, at::kLong), {0, 1}};
  const Matches matches = match({}, {logits, box.expand({1, 2, 4})}, one, "test");
  CHECK(golden::equal(matches.query, {0}));
}

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(test_matches),
      cmocka_unit_test(test_golden),
      cmocka_unit_test(test_box_gradient),
      cmocka_unit_test(test_class_gradient),
      cmocka_unit_test(test_float_and_autocast),
      cmocka_unit_test(test_no_objects),
      cmocka_unit_test(defect_20_bad_values_are_named),
      cmocka_unit_test(defect_15_cost_is_sigmoid),
  };
  return cmocka_run_group_tests(tests, nullptr, nullptr);
}
