#include "nn/selective_scan.h"

#include <ATen/ATen.h>

#include <vector>

namespace moe::nn {

at::Tensor selective_scan_reference(const SelectiveScanInputs& in) {
  const auto steps = [](const at::Tensor& tensor) { return tensor.unbind(1); };  // indexing would cost L^2 in backward
  const std::vector<at::Tensor> u = steps(in.u), delta = steps(in.delta), b = steps(in.b), c = steps(in.c);
  at::Tensor h = at::zeros({in.u.size(0), in.u.size(2), in.a.size(1)}, in.u.options());  // [B, d, N]
  std::vector<at::Tensor> y;
  for (size_t t = 0; t < u.size(); ++t) {
    const at::Tensor dt = delta[t].unsqueeze(2);  // [B, d, 1]
    h = at::exp(dt * in.a) * h + dt * b[t].unsqueeze(1) * u[t].unsqueeze(2);
    y.push_back((h * c[t].unsqueeze(1)).sum(2) + in.skip * u[t]);
  }
  return y.empty() ? at::zeros_like(in.u) : at::stack(y, 1);
}

}  // namespace moe::nn
