#include "cuda/host_twin.h"

#include <ATen/ops/mm.h>
#include <ATen/ops/zeros.h>

#include "cuda/nn_kernels.h"

namespace moe::cuda {

namespace {

// Calls body(expert, first row, rows) for every expert.
template <typename Body>
void for_groups(const at::Tensor& offsets, Body body) {
  const int64_t* offset = offsets.const_data_ptr<int64_t>();
  for (int64_t e = 0; e + 1 < offsets.size(0); ++e) body(e, offset[e], offset[e + 1] - offset[e]);
}

template <Order order>
class HostTwin final : public NnKernels<HostExecutor<order>> {
 public:
  RowGroups row_groups(const Dispatch& dispatch, at::ScalarType) const override {
    return {dispatch.offsets, dispatch.offsets};
  }

  at::Tensor grouped_mm(const Dispatch& dispatch, const RowGroups& groups, const at::Tensor& rows,
                        const at::Tensor& weights) const override {
    at::Tensor out = at::empty({rows.size(0), weights.size(2)}, rows.options());
    for_groups(groups.host_offsets, [&](int64_t expert, int64_t first, int64_t count) {
      out.narrow(0, first, count).copy_(at::mm(rows.narrow(0, first, count), weights.select(0, expert)));
    });
    this->clear_rows(dispatch.row_of, out);
    return out;
  }

  at::Tensor grouped_outer(const RowGroups& groups, const at::Tensor& a, const at::Tensor& b) const override {
    at::Tensor out = at::zeros({groups.offsets.size(0) - 1, a.size(1), b.size(1)}, a.options());
    for_groups(groups.host_offsets, [&](int64_t expert, int64_t first, int64_t count) {
      if (count > 0) out.select(0, expert).copy_(at::mm(a.narrow(0, first, count).t(), b.narrow(0, first, count)));
    });
    return out;
  }
};

}  // namespace

const Kernels& host_twin(Order order) {
  static const HostTwin<Order::rising> rising;
  static const HostTwin<Order::falling> falling;
  if (order == Order::rising) return rising;
  return falling;
}

}  // namespace moe::cuda
