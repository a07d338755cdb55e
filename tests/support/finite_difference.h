// Autograd against central differences.
#pragma once

#include <torch/torch.h>

#include <cmath>
#include <vector>

// Largest |autograd - difference| / max(1, |difference|) over every element of the inputs: contiguous float64 leaves
// that want gradients, which scalar_of() reads. An input that the scalar does not depend on must have differences of 0.
template <typename Function>
double gradient_error(Function scalar_of, const std::vector<at::Tensor>& inputs, double step = 1e-5) {
  const auto grads = torch::autograd::grad({scalar_of()}, inputs, {}, false, false, /*allow_unused=*/true);
  const at::NoGradGuard no_grad;
  double worst = 0;
  for (size_t i = 0; i < inputs.size(); ++i) {
    const at::Tensor grad = grads[i].defined() ? grads[i].contiguous() : at::zeros_like(inputs[i]);
    double* value = inputs[i].mutable_data_ptr<double>();
    for (int64_t j = 0; j < inputs[i].numel(); ++j) {
      const double before = value[j];
      value[j] = before + step;
      const double above = scalar_of().template item<double>();
      value[j] = before - step;
      const double below = scalar_of().template item<double>();
      value[j] = before;
      const double want = (above - below) / (2 * step);
      const double error = std::abs(grad.const_data_ptr<double>()[j] - want) / std::fmax(1.0, std::abs(want));
      worst = error > worst || std::isnan(error) ? error : worst;
    }
  }
  return worst;
}
