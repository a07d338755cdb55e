#include "eval/accuracy.h"

#include <ATen/ATen.h>

#include "base/error.h"

namespace moe {

namespace {

class AccuracyEvaluator : public Evaluator {
 public:
  explicit AccuracyEvaluator(std::vector<std::string> classes)
      : classes_(std::move(classes)), count_(classes_.size()), right_(classes_.size()) {}

  void add(const Batch& targets, const Batch& predictions) override {
    const at::Tensor labels = targets.get("labels").contiguous(), told = predictions.get("labels").contiguous();
    check(labels.sizes() == told.sizes(), MOE_ERR_SHAPE, "evaluation: expected a prediction for each of ",
          labels.numel(), " labels, got ", told.numel());
    const int64_t *label = labels.const_data_ptr<int64_t>(), *guess = told.const_data_ptr<int64_t>();
    for (int64_t i = 0; i < labels.numel(); ++i) {
      check(label[i] >= 0 && label[i] < static_cast<int64_t>(classes_.size()), MOE_ERR_DATA,
            "evaluation: labels: expected 0..", classes_.size() - 1, ", got ", label[i]);
      ++count_[static_cast<size_t>(label[i])];
      if (guess[i] == label[i]) ++right_[static_cast<size_t>(label[i])];
    }
  }

  std::vector<Metric> finish() override {
    const auto share = [](int64_t right, int64_t count) {
      return count > 0 ? static_cast<double>(right) / static_cast<double>(count) : -1.0;
    };
    std::vector<Metric> out = {{"accuracy", 0}};
    int64_t right = 0, count = 0;
    for (size_t c = 0; c < classes_.size(); ++c) {
      out.push_back({"accuracy/" + classes_[c], share(right_[c], count_[c])});
      right += right_[c];
      count += count_[c];
    }
    out[0].value = share(right, count);
    return out;
  }

 private:
  std::vector<std::string> classes_;
  std::vector<int64_t> count_, right_;  // by class
};

}  // namespace

std::unique_ptr<Evaluator> make_accuracy_evaluator(std::vector<std::string> classes) {
  return std::make_unique<AccuracyEvaluator>(std::move(classes));
}

}  // namespace moe
