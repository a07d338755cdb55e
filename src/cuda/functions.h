// The kernels as differentiable functions with checked inputs: the mixture layer, deformable attention and the
// selective scan on a GPU, or on the CPU with the host twins. No double backward. The models' layers call moe/ and nn/,
// whose results these repeat.
#pragma once

#include "cuda/kernels.h"
#include "moe/ffn_experts.h"
#include "nn/deformable_attention.h"

namespace moe::cuda {

// The router's choice with softmax scores: route() with top_k, without bias, noise, groups or capacity. logits [T, E]
// float32 or float64, valid [T] bool or undefined. With gradient: probabilities, weights.
Gate gate(const Kernels& kernels, const at::Tensor& logits, const at::Tensor& valid, const GateOptions& options);

at::Tensor gather_rows(const Kernels& kernels, const Dispatch& dispatch, const at::Tensor& x);  // [T, D] -> [R, D]

// As moe::combine_rows, with gradients of rows, gates and bias.
at::Tensor combine_rows(const Kernels& kernels, const Dispatch& dispatch, const at::Tensor& rows,
                        const at::Tensor& gates = {}, const at::Tensor& bias = {});

// rows [R, K] by the linear layer of their expert: weight [E, N, K], bias [E, N] in Sum of the rows' type, or undefined
// -> [R, N]
at::Tensor grouped_linear(const Kernels& kernels, const Dispatch& dispatch, const at::Tensor& rows,
                          const at::Tensor& weight, const at::Tensor& bias = {});

// As moe::ffn_experts without autocast: x and weights of one type, gates and biases in float32 (float64 for float64).
// Activations are rounded to that type, as the products are.
at::Tensor ffn_experts(const Kernels& kernels, const at::Tensor& x, const at::Tensor& gates, const Dispatch& dispatch,
                       const FfnWeights& weights, FfnActivation activation);

// As nn::deformable_attention; at most 8 levels. image_index is not read on the host: keep it in range.
at::Tensor deformable_attention(const Kernels& kernels, const at::Tensor& value, const nn::SamplingPlan& plan,
                                const at::Tensor& locations, const at::Tensor& weights,
                                const at::Tensor& image_index = {});

// float32 or float64, at most 16 states.
at::Tensor selective_scan(const Kernels& kernels, const nn::SelectiveScanInputs& in);

}  // namespace moe::cuda
