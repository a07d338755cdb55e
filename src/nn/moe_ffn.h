// A mixture of feed-forward experts in the place of a transformer block's FFN (Shazeer et al. 2017; Fedus et al.,
// Switch Transformers, 2021): linear router, top-k choice, experts
// over sorted rows. Each token costs its k experts. The losses of the router are the caller's: the routing is returned.
#pragma once

#include <optional>

#include "base/rng.h"
#include "moe/ffn_experts.h"
#include "moe/router.h"
#include "nn/init.h"

namespace moe::nn {

struct MoeFfnOptions {
  int64_t dim = 256;
  int64_t ffn = 1024;  // hidden units of one expert
  int64_t experts = 8;
  FfnActivation activation = FfnActivation::relu;
  RouterOptions router;
};

class MoeFfn : public Module {
 public:
  // MOE_ERR_CONFIG names the layer and the router's option.
  explicit MoeFfn(const MoeFfnOptions& options);

  struct Output {
    at::Tensor y;  // as x; 0 where padded
    Routing routing;
  };
  // x [T, dim]; valid [T] bool or undefined; noise: the stream of the router's noise in training, none: no noise.
  Output forward(const at::Tensor& x, const at::Tensor& valid, const std::optional<Rng>& noise) const;

  // Router N(0, 0.02²), as transformers' mixture models; every expert starts as a linear pair of its own (xavier),
  // biases 0.
  void init_own(const ParameterInit& init) override;

 private:
  MoeFfnOptions options_;
  at::Tensor router_;   // [E, dim]
  at::Tensor w1_, b1_;  // [E, ffn or 2 ffn, dim], [E, ffn or 2 ffn]
  at::Tensor w2_, b2_;  // [E, dim, ffn], [E, dim]
};

}  // namespace moe::nn
