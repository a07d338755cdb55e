// The kernels that libmoe_cuda.so holds, as tensors see them; its host twins run the same bodies on the CPU. No
// autograd (cuda/functions.h) and no checks of inputs: shapes and types are the caller's promise. All tensors are
// dense, on the device of the kernels, in the current stream. Results do not depend on the order in which threads run.
#pragma once

#include <ATen/core/Tensor.h>

#include "cuda/deformable_bodies.h"
#include "cuda/gate_bodies.h"
#include "moe/dispatch.h"
#include "nn/selective_scan.h"

namespace moe::cuda {

// Sum<T> of a tensor's elements.
inline at::ScalarType sum_type_of(const at::Tensor& tensor) {
  return tensor.scalar_type() == at::ScalarType::Double ? at::ScalarType::Double : at::ScalarType::Float;
}

struct GateOptions {
  int64_t top_k = 2;
  GateKind kind = GateKind::renormalized;
  double scale = 1;
};

struct Gate {
  at::Tensor probabilities;  // [T, E]
  at::Tensor chosen;         // [T, k] int64
  at::Tensor weights;        // [T, k]
};

// Undefined members are not wanted, or zero as inputs.
struct GateGradients {
  at::Tensor probabilities, weights;
};

struct CombineGradients {
  at::Tensor rows;   // [R, D]
  at::Tensor gates;  // [T, k]
};

struct DeformableTensors {
  at::Tensor value;      // [Bv, S, M, D]
  at::Tensor locations;  // [G, Q, M, P, 2]
  at::Tensor weights;    // [G, Q, M, P]
  at::Tensor rows;       // [G] int64; undefined in gradients
};

using ScanTensors = nn::SelectiveScanInputs;

struct Scan {
  at::Tensor y;       // [B, L, d]
  at::Tensor states;  // what backward needs
};

// Where the rows of each expert lie, for grouped products; on the host too where the route needs it there.
struct RowGroups {
  at::Tensor offsets;       // [E + 1] int64 on the device
  at::Tensor host_offsets;  // the same on the CPU; undefined where the product reads the device's
};

class Kernels {
 public:
  virtual ~Kernels() = default;

  // logits [T, E] float32 or float64, valid [T] bool or undefined.
  virtual Gate gate(const at::Tensor& logits, const at::Tensor& valid, const GateOptions& options) const = 0;
  virtual at::Tensor gate_backward(const Gate& gate, const GateGradients& grad, const GateOptions& options) const = 0;
  // The experts of a token that a block can hold at most.
  virtual int64_t most_experts(at::ScalarType type, int64_t top_k) const = 0;

  // experts [T, k] int64, others than 0..E-1 count as dropped. The rows are T * k, those beyond the last offset
  // fillers: their number never travels to the host.
  virtual Dispatch sort_by_expert(const at::Tensor& experts, int64_t expert_count) const = 0;

  virtual at::Tensor gather_rows(const Dispatch& dispatch, const at::Tensor& x) const = 0;  // [T, D] -> [R, D]
  // gates, bias as moe::combine_rows
  virtual at::Tensor combine_rows(const Dispatch& dispatch, const at::Tensor& rows, const at::Tensor& gates,
                                  const at::Tensor& bias) const = 0;
  // rows undefined: no gradient of the gates
  virtual CombineGradients combine_backward(const Dispatch& dispatch, const at::Tensor& rows, const at::Tensor& gates,
                                            const at::Tensor& bias, const at::Tensor& grad_out) const = 0;
  virtual at::Tensor add_expert_bias(const Dispatch& dispatch, const at::Tensor& rows,
                                     const at::Tensor& bias) const = 0;
  virtual at::Tensor sum_by_expert(const Dispatch& dispatch, const at::Tensor& rows) const = 0;  // [R, D] -> [E, D]

  virtual RowGroups row_groups(const Dispatch& dispatch, at::ScalarType type) const = 0;
  // rows [R, K], weights [E, K, N] of any dense order of the last two -> [R, N]; filler rows 0
  virtual at::Tensor grouped_mm(const Dispatch& dispatch, const RowGroups& groups, const at::Tensor& rows,
                                const at::Tensor& weights) const = 0;
  // sum over an expert's rows of a^T b: a [R, M], b [R, N] -> [E, M, N]; 0 for an expert without rows
  virtual at::Tensor grouped_outer(const RowGroups& groups, const at::Tensor& a, const at::Tensor& b) const = 0;

  virtual at::Tensor deformable(const LevelTable& levels, const DeformableTensors& in) const = 0;  // [G, Q, M * D]
  virtual DeformableTensors deformable_backward(const LevelTable& levels, const DeformableTensors& in,
                                                const at::Tensor& grad_out) const = 0;

  virtual Scan scan(const ScanTensors& in) const = 0;
  virtual ScanTensors scan_backward(const ScanTensors& in, const at::Tensor& states,
                                    const at::Tensor& grad_y) const = 0;
};

}  // namespace moe::cuda
