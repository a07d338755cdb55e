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

// Rows of the thread that gets most, when each expert from `first` on goes to the thread that is free first.
static int64_t longest_share(const std::vector<ExpertRows>& order, size_t first, int64_t threads) {
  std::vector<int64_t> shares(static_cast<size_t>(threads));
  for (size_t i = first; i < order.size(); ++i) *std::min_element(shares.begin(), shares.end()) += order[i].count;
  return *std::max_element(shares.begin(), shares.end());
}

// How many experts, the largest ones, take all threads inside their products: as few as leave the others in shares
// that keep all threads at work. One thread multiplies faster than its part of a split product, by about this factor.
static size_t count_large(const std::vector<ExpertRows>& order) {
  constexpr double gain = 1.15;
  const int64_t threads = at::get_num_threads();
  int64_t left = 0;
  for (const ExpertRows& rows : order) left += rows.count;
  size_t large = 0;
  for (; large < order.size(); left -= order[large++].count) {
    const double even = static_cast<double>(left) / static_cast<double>(threads);
    if (threads > 1 && static_cast<double>(longest_share(order, large, threads)) <= gain * even) break;
  }
  return large;
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
