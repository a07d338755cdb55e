// Products of many pairs of matrices on a GPU in one call of cuBLAS, or one call each where it refuses. Groups are
// given as views of tensors; nothing is copied but their addresses.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

namespace moe::cuda {

// out [M, N] = a [M, K] b [K, N]; out has dense rows, a and b one dimension of stride 1.
struct Product {
  at::Tensor a, b, out;
};

// M, N, K >= 1, all of one type on one device, in the current stream. Waits for the copy of the addresses.
void grouped_gemm(const std::vector<Product>& products);

}  // namespace moe::cuda
