// What the task sees of a diffusion network, whatever its topology.
#pragma once

#include <memory>
#include <optional>

#include "models/diffusion/options.h"
#include "nn/router.h"

namespace moe::diffusion {

// One place of the network where a router decides.
struct MixtureLayer {
  std::string name;  // module path
  std::string unit;  // "image" or "pixel"
  const nn::Router* router;
};

struct NetworkOutput {
  at::Tensor prediction;          // [B, C, H, W] float32 (float64 of a network in float64)
  std::vector<Routing> routings;  // in the order of mixture_layers()
};

class Network : public nn::Module {
 public:
  // x [B, C, H, W]; time [B] float64; labels int64 [B], `classes` for none, ignored by an unconditional network; noise:
  // stream of the routers' noise in training.
  virtual NetworkOutput forward(const at::Tensor& x, const at::Tensor& time, const at::Tensor& labels,
                                const std::optional<Rng>& noise) const = 0;
  virtual std::vector<MixtureLayer> mixture_layers() const = 0;
};

// Every parameter drawn from `seed`. MOE_ERR_CONFIG: sizes that the levels do not divide.
std::shared_ptr<Network> make_network(const NetworkOptions& options, uint64_t seed);

}  // namespace moe::diffusion
