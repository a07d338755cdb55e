#include "eval/evaluator.h"

#include "base/error.h"

namespace moe {

namespace {

class JoinedEvaluator : public Evaluator {
 public:
  explicit JoinedEvaluator(std::vector<std::unique_ptr<Evaluator>> parts) : parts_(std::move(parts)) {}

  void add(const Batch& targets, const Batch& predictions) override {
    for (const auto& part : parts_) part->add(targets, predictions);
  }
  std::vector<Metric> finish() override {
    std::vector<Metric> out;
    for (const auto& part : parts_) {
      const std::vector<Metric> own = part->finish();
      out.insert(out.end(), own.begin(), own.end());
    }
    return out;
  }

  bool wants_training_data() const override {
    for (const auto& part : parts_) {
      if (part->wants_training_data()) return true;
    }
    return false;
  }
  void add_training(const Batch& batch) override {
    for (const auto& part : parts_) {
      if (part->wants_training_data()) part->add_training(batch);
    }
  }

  // At most one part may ask for a model.
  std::string other_model() const override {
    for (const auto& part : parts_) {
      if (const std::string path = part->other_model(); !path.empty()) return path;
    }
    return {};
  }
  void use_model(std::function<Batch(const Batch&)> predict) override {
    for (const auto& part : parts_) {
      if (!part->other_model().empty()) return part->use_model(std::move(predict));
    }
  }

  std::optional<Batch> next_request() override {
    for (asking_ = 0; asking_ < parts_.size(); ++asking_) {
      if (std::optional<Batch> request = parts_[asking_]->next_request()) return request;
    }
    return std::nullopt;
  }
  void add_result(const Batch& request, const Batch& result) override {
    check(asking_ < parts_.size(), MOE_ERR_INTERNAL, "evaluation: a result that nothing has asked for");
    parts_[asking_]->add_result(request, result);
  }

 private:
  std::vector<std::unique_ptr<Evaluator>> parts_;
  size_t asking_ = 0;  // the part of the last request
};

}  // namespace

std::unique_ptr<Evaluator> join_evaluators(std::vector<std::unique_ptr<Evaluator>> parts) {
  return std::make_unique<JoinedEvaluator>(std::move(parts));
}

}  // namespace moe
