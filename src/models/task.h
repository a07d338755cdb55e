// The one interface that a system implements. The session knows nothing of boxes, images or trajectories.
#pragma once

#include <torch/nn/module.h>

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/rng.h"
#include "config/config.h"
#include "eval/evaluator.h"
#include "moe/balance.h"
#include "moe/routing_stats.h"
#include "tensor/batch.h"

namespace moe {

// Sums over a batch that losses are divided by, for example {"boxes": 37}. The session adds them up over the whole
// window (and over ranks) before the first forward pass, so that accumulation gives the exact large-batch gradient.
using Normalizers = std::map<std::string, double>;

struct ForwardContext {
  Normalizers normalizers;             // of the whole window
  double window_samples = 1;           // samples of the whole window
  Rng rng{0, "forward"};               // of this micro-batch: keyed by (seed, step, micro-batch)
  int64_t step = 0;                    // optimizer steps before this one
  std::vector<RoutingTotals> routing;  // of the whole window by mixture layer, where wants_totals(); else empty
};

// One weighted loss term, a scalar in fp32, already divided by the window's normalizers: adding it over the
// micro-batches gives the term of the window.
struct LossTerm {
  std::string name;
  at::Tensor value;
};

using NamedTensors = std::vector<std::pair<std::string, at::Tensor>>;

// Names under which another project keeps one tensor of ours; several are stacked along the first dimension.
using TensorParts = std::vector<std::string>;

// A model as another project opens it: its weights under that project's names, and the small files beside them by file
// name.
struct ExportedModel {
  NamedTensors tensors;
  std::map<std::string, std::string> metadata;  // of the weights' file
  std::map<std::string, std::string> files;
};

// What one sample takes, of experts their mean size.
struct ModelCost {
  int64_t active_parameters = 0;
  int64_t multiply_adds = 0;
};

class Task {
 public:
  virtual ~Task() = default;
  virtual BatchSpec batch_spec() const = 0;
  virtual void check(const Batch&) const {}  // beyond the spec: class ids in range, boxes inside 0..1; one clear line
  virtual Normalizers normalizers(const Batch& batch) const = 0;
  virtual std::vector<LossTerm> forward(const Batch& batch,
                                        const ForwardContext& context) = 0;  // train mode, with gradients
  // Router losses that are functions of what a layer routed in the whole window: the session asks for the totals of
  // every micro-batch before the first forward(), where there are several. Train mode, no gradients, no statistics; the
  // routing is that of forward() with the same context.
  virtual bool wants_totals() const { return false; }
  virtual std::vector<RoutingTotals> totals(const Batch&, const ForwardContext&) { return {}; }
  virtual Batch predict(const Batch& batch) = 0;  // eval mode, no gradients
  // One prediction from those of several views of one picture, in order over the batches. windows [views, 4] int64: x0, y0, x1,
  // y1 in pixels of the original; the first is the whole of it.
  virtual Batch join_views(const std::vector<Batch>& predictions, const at::Tensor& windows) const;
  virtual std::unique_ptr<Evaluator> evaluator() const = 0;
  virtual torch::nn::Module& network() = 0;
  // The end of an optimizer step: moves buffers that follow what the step counted, such as a router's bias. The
  // statistics hold the step already; allocates nothing.
  virtual void commit() noexcept {}
  virtual std::vector<RoutingStats*> routing() = 0;  // one per mixture layer, in order; empty for a dense model
  virtual std::vector<std::string> class_names() const { return {}; }
  virtual std::string summary() const = 0;  // table: parts, parameters, active multiply-adds
  virtual std::optional<ModelCost> cost() const { return {}; }  // its last row
  // Sample `index` with its predictions as an RGB picture [H, W, 3] uint8; MOE_ERR_UNSUPPORTED where it makes no sense.
  virtual at::Tensor draw(const Batch& batch, const Batch& prediction, int64_t index, double min_score) const = 0;
  // A picture [H, W, 3] uint8 that shows how far the training is, of the predictions of a fixed batch; a run keeps one of
  // each evaluation. No batch: none.
  virtual std::optional<Batch> preview_request() const { return std::nullopt; }
  virtual at::Tensor preview(const Batch&) const { return {}; }

  // Weights of other projects. Other spellings of a tensor, likeliest first; tensors of their files that the network
  // does not need; heads, which keep their start when the file has another number of classes or groups.
  virtual std::vector<TensorParts> other_names(const std::string&) const { return {}; }
  virtual bool is_redundant(const std::string&) const { return false; }
  virtual bool is_head(const std::string&) const { return false; }
  virtual std::vector<std::string> export_formats() const { return {}; }
  virtual ExportedModel export_as(const std::string& format, const NamedTensors& weights) const;  // one of the formats
};

// The sum over the parts of a table of costs.
template <typename Parts>
ModelCost sum_costs(const Parts& parts) {
  ModelCost out;
  for (const auto& part : parts) {
    out.active_parameters += part.active_parameters;
    out.multiply_adds += part.multiply_adds;
  }
  return out;
}

// The registry: one line per system in models/registry.cpp.
struct TaskEntry {
  const char* name;
  Schema (*schema)();  // the task's own keys; the shared ones are added by task_schema()
  std::unique_ptr<Task> (*create)(const Config& config);
};
const std::vector<TaskEntry>& task_registry();

}  // namespace moe
