// A mixture of feed-forward experts in the place of a transformer block's FFN (Shazeer et al. 2017; Fedus et al.,
// Switch Transformers, 2021): router, choice, experts over sorted rows, and experts that every token takes
// (DeepSeekMoE, Dai et al. 2024). Each token costs its experts. The losses of the router are the caller's: the routing
// is returned.
#pragma once

#include "moe/ffn_experts.h"
#include "nn/router.h"

namespace moe::nn {

struct MoeFfnOptions {
  int64_t dim = 256;
  int64_t ffn = 1024;  // hidden units of one expert
  int64_t experts = 8;
  int64_t shared = 0;  // more experts of that size, which every token takes with gate 1
  FfnActivation activation = FfnActivation::relu;
  RouterSettings router;
};

class MoeFfn : public Module {
 public:
  // MOE_ERR_CONFIG names the layer and the router's option.
  explicit MoeFfn(const MoeFfnOptions& options);

  struct Output {
    at::Tensor y;  // as x; 0 where padded
    Routing routing;
  };
  Output forward(const at::Tensor& x, const RouterContext& context) const;  // x [T, dim]
  const Router& router() const { return *router_; }

  // Every expert starts as a linear pair of its own (xavier), biases 0.
  void init_own(const ParameterInit& init) override;

 private:
  FfnWeights add_experts(const std::string& prefix, int64_t count, int64_t ffn);
  at::Tensor shared_experts(const at::Tensor& x, const at::Tensor& valid) const;

  MoeFfnOptions options_;
  std::optional<Router> router_;
  FfnWeights experts_;  // w1 [E, ffn or 2 ffn, dim], bias1 [E, ffn or 2 ffn], w2 [E, dim, ffn], bias2 [E, dim]
  FfnWeights shared_;   // all shared ones as one expert of shared * ffn units
};

}  // namespace moe::nn
