#include "moe/expert_schedule.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/core/LegacyTypeDispatch.h>

#include <algorithm>
#include <atomic>
#include <vector>

namespace moe {

at::Tensor ExpertScratch::take(Use use, int64_t rows, int64_t columns, at::ScalarType type) {
  at::Tensor& buffer = buffers_[use];
  if (!buffer.defined() || buffer.numel() < rows * columns) buffer = at::empty({rows * columns}, type);
  return buffer.narrow(0, 0, rows * columns).view({rows, columns});
}

// Most rows first, equal numbers by index: scratch is then allocated once, and the last experts to end are small.
static std::vector<ExpertRows> by_size(const Dispatch& dispatch) {
  const int64_t* offsets = dispatch.offsets.const_data_ptr<int64_t>();
  std::vector<ExpertRows> order;
  for (int64_t e = 0; e < dispatch.expert_count(); ++e) {
    if (offsets[e + 1] > offsets[e]) order.push_back({e, offsets[e], offsets[e + 1] - offsets[e]});
  }
  std::stable_sort(order.begin(), order.end(),
                   [](const ExpertRows& a, const ExpertRows& b) { return a.count > b.count; });
  return order;
}

// A product of fewer than 128 rows a thread is too small to be split.
static size_t count_large(const std::vector<ExpertRows>& order) {
  const int64_t threads = at::get_num_threads();
  const auto small =
      std::find_if(order.begin(), order.end(), [&](const ExpertRows& rows) { return rows.count < 128 * threads; });
  const bool worth = threads > 1 && order.end() - small >= 2 * threads;
  return worth ? static_cast<size_t>(small - order.begin()) : order.size();
}

void for_each_expert(const Dispatch& dispatch, const std::function<void(const ExpertRows&, ExpertScratch&)>& body) {
  const std::vector<ExpertRows> order = by_size(dispatch);
  const size_t large = count_large(order);
  const at::AutoDispatchBelowADInplaceOrView no_autograd;
  ExpertScratch scratch;
  for (size_t i = 0; i < large; ++i) body(order[i], scratch);
  if (large == order.size()) return;
  std::atomic<size_t> next = large;
  at::parallel_for(0, at::get_num_threads(), 1, [&](int64_t, int64_t) {
    const at::AutoDispatchBelowADInplaceOrView no_autograd_here;
    ExpertScratch own;
    for (size_t i = next++; i < order.size(); i = next++) body(order[i], own);
  });
}

}  // namespace moe
