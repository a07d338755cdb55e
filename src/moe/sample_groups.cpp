#include "moe/sample_groups.h"

#include <ATen/Parallel.h>

#include <algorithm>

#include "moe/weighted_rows.h"

namespace moe {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

SampleGroups::SampleGroups(Dispatch sorted) : dispatch(std::move(sorted)) {
  const int64_t* offset = dispatch.offsets.const_data_ptr<int64_t>();
  for (int64_t expert = 0; expert < dispatch.expert_count(); ++expert) {
    const int64_t count = offset[expert + 1] - offset[expert];
    if (count > 0) blocks.push_back({expert, offset[expert], count});
  }
  if (blocks.empty()) blocks.push_back({0, 0, 0});
}

SampleGroupsPtr group_samples(const at::Tensor& experts, int64_t expert_count) {
  return c10::make_intrusive<SampleGroups>(sort_by_expert(experts.contiguous(), expert_count));
}

namespace {

SampleGroupsPtr groups_of(AutogradContext* context) {
  return c10::static_intrusive_pointer_cast<SampleGroups>(context->saved_data["groups"].toCapsule());
}

at::Tensor channels_last(const at::Tensor& x) {
  return x.contiguous(at::MemoryFormat::ChannelsLast);
}

at::Tensor rows_like(const at::Tensor& x, int64_t rows) {
  return at::empty({rows, x.size(1), x.size(2), x.size(3)}, x.options(), at::MemoryFormat::ChannelsLast);
}

// Elements of one row.
int64_t row_size(const at::Tensor& x) {
  return x.size(1) * x.size(2) * x.size(3);
}

// body(row, first element, count) over pieces of rows, in parallel.
template <typename Body>
void for_pieces(int64_t rows, int64_t size, Body body) {
  constexpr int64_t piece = 8192;
  const int64_t pieces = (size + piece - 1) / piece;
  at::parallel_for(0, rows * pieces, 2, [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) {
      const int64_t first = task % pieces * piece;
      body(task / pieces, first, std::min(piece, size - first));
    }
  });
}

// The first elements of every row; data(tensor) is its memory.
template <typename T, typename Data>
auto row_pointers(at::TensorList blocks, Data data) {
  std::vector<decltype(data(blocks[0]))> out;
  for (const at::Tensor& block : blocks) {
    const auto start = data(block);
    for (int64_t row = 0; row < block.size(0); ++row) out.push_back(start + row * row_size(block));
  }
  return out;
}

template <typename T>
std::vector<const T*> row_pointers(at::TensorList blocks) {
  return row_pointers<T>(blocks, [](const at::Tensor& t) { return t.const_data_ptr<T>(); });
}

// from [B, ...] -> a tensor [count, ...] for each block
variable_list spread(const SampleGroups& groups, const at::Tensor& from, const at::Tensor& gates) {
  variable_list out;
  for (const SampleBlock& block : groups.blocks) out.push_back(rows_like(from, block.count));
  const int64_t size = row_size(from);
  dispatch_rows(from.scalar_type(), [&](auto storage, auto sum) {
    using T = decltype(storage);
    using A = decltype(sum);
    const T* data = from.const_data_ptr<T>();
    const A* gate = gates.defined() ? gates.const_data_ptr<A>() : nullptr;
    const std::vector<T*> rows = row_pointers<T>(out, [](const at::Tensor& t) { return t.mutable_data_ptr<T>(); });
    for_pieces(groups.dispatch.rows(), size, [&](int64_t row, int64_t first, int64_t count) {
      const T* source = data + groups.sample(row) * size + first;
      const A weight = gate ? gate[groups.pair(row)] : A{1};
      weighted_sum(&source, &weight, 1, count, rows[static_cast<size_t>(row)] + first);
    });
  });
  return out;
}

template <typename T, typename A>
struct Terms {
  std::vector<const T*> rows;
  std::vector<A> weights;

  int64_t count() const { return static_cast<int64_t>(rows.size()); }
};

// The rows of one sample in the order of its slots.
template <typename T, typename A>
Terms<T, A> terms_of(const Dispatch& dispatch, int64_t sample, const std::vector<const T*>& rows, const A* gate) {
  Terms<T, A> out;
  const int64_t* pos_of = dispatch.pos_of.const_data_ptr<int64_t>();
  for (int64_t pair = sample * dispatch.slots(); pair < (sample + 1) * dispatch.slots(); ++pair) {
    if (pos_of[pair] < 0) continue;
    out.rows.push_back(rows[static_cast<size_t>(pos_of[pair])]);
    out.weights.push_back(gate ? gate[pair] : A{1});
  }
  return out;
}

// blocks of together [R, ...] -> [B, ...]
at::Tensor collect(const SampleGroups& groups, at::TensorList blocks, const at::Tensor& gates) {
  const int64_t batch = groups.dispatch.tokens(), size = row_size(blocks[0]);
  at::Tensor out = rows_like(blocks[0], batch);
  dispatch_rows(out.scalar_type(), [&](auto storage, auto sum) {
    using T = decltype(storage);
    using A = decltype(sum);
    const std::vector<const T*> rows = row_pointers<T>(blocks);
    const A* gate = gates.defined() ? gates.const_data_ptr<A>() : nullptr;
    T* to = out.mutable_data_ptr<T>();
    for_pieces(batch, size, [&](int64_t sample, int64_t first, int64_t count) {
      Terms<T, A> terms = terms_of(groups.dispatch, sample, rows, gate);
      for (const T*& row : terms.rows) row += first;
      weighted_sum(terms.rows.data(), terms.weights.data(), terms.count(), count, to + sample * size + first);
    });
  });
  return out;
}

// [B, k]: <samples[b], row of the pair>; 0 where there is none.
at::Tensor pair_dots(const SampleGroups& groups, const at::Tensor& samples, at::TensorList blocks) {
  const int64_t size = row_size(samples);
  at::Tensor out = at::zeros(groups.dispatch.pos_of.sizes(), samples.options().dtype(sum_type(samples.scalar_type())));
  dispatch_rows(samples.scalar_type(), [&](auto storage, auto sum) {
    using T = decltype(storage);
    using A = decltype(sum);
    const std::vector<const T*> rows = row_pointers<T>(blocks);
    const T* data = samples.const_data_ptr<T>();
    A* to = out.mutable_data_ptr<A>();
    at::parallel_for(0, groups.dispatch.rows(), 1, [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row) {
        const T* sample = data + groups.sample(row) * size;
        to[groups.pair(row)] = static_cast<A>(dot(sample, rows[static_cast<size_t>(row)], size));
      }
    });
  });
  return out;
}

std::optional<at::Tensor> optional_of(const at::Tensor& tensor) {
  return tensor.defined() ? std::optional<at::Tensor>(tensor.contiguous()) : std::nullopt;
}

variable_list channels_last(const variable_list& list) {
  variable_list out;
  for (const at::Tensor& tensor : list) out.push_back(channels_last(tensor));
  return out;
}

struct GatherFunction : torch::autograd::Function<GatherFunction> {
  static variable_list forward(AutogradContext* context, const SampleGroupsPtr& groups, const at::Tensor& x,
                               const std::optional<at::Tensor>& gates) {
    context->saved_data["groups"] = at::IValue::make_capsule(groups);
    context->save_for_backward({gates ? x : at::Tensor(), gates.value_or(at::Tensor())});
    return spread(*groups, x, gates.value_or(at::Tensor()));
  }

  static variable_list backward(AutogradContext* context, const variable_list& grads) {
    const auto groups = groups_of(context);
    const auto saved = context->get_saved_variables();
    const variable_list rows = channels_last(grads);
    const at::Tensor gate_grad = saved[1].defined() ? pair_dots(*groups, saved[0], rows) : at::Tensor();
    return {at::Tensor(), collect(*groups, rows, saved[1]), gate_grad};
  }
};

struct CombineFunction : torch::autograd::Function<CombineFunction> {
  static at::Tensor forward(AutogradContext* context, const SampleGroupsPtr& groups,
                            const std::optional<at::Tensor>& gates, at::TensorList rows) {
    variable_list kept = {gates.value_or(at::Tensor())};
    if (gates) kept.insert(kept.end(), rows.begin(), rows.end());
    context->saved_data["groups"] = at::IValue::make_capsule(groups);
    context->save_for_backward(kept);
    return collect(*groups, rows, gates.value_or(at::Tensor()));
  }

  static variable_list backward(AutogradContext* context, const variable_list& grads) {
    const auto groups = groups_of(context);
    const variable_list saved = context->get_saved_variables();
    const at::Tensor grad = channels_last(grads[0]);
    variable_list out(2);  // groups, gates
    if (saved[0].defined()) out[1] = pair_dots(*groups, grad, at::TensorList(saved).slice(1));
    const variable_list rows = spread(*groups, grad, saved[0]);
    out.insert(out.end(), rows.begin(), rows.end());
    return out;
  }
};

struct SplitFunction : torch::autograd::Function<SplitFunction> {
  static variable_list forward(AutogradContext* context, const at::Tensor& stacked) {
    context->save_for_backward({stacked});
    context->set_materialize_grads(false);
    return stacked.unbind(0);
  }

  static variable_list backward(AutogradContext* context, const variable_list& grads) {
    at::Tensor out = at::empty_like(context->get_saved_variables()[0]);
    for (size_t e = 0; e < grads.size(); ++e) {
      const at::Tensor slice = out.select(0, static_cast<int64_t>(e));
      if (grads[e].defined()) {
        slice.copy_(grads[e]);
      } else {
        slice.zero_();
      }
    }
    return {out};
  }
};

}  // namespace

std::vector<at::Tensor> gather_samples(const SampleGroupsPtr& groups, const at::Tensor& x, const at::Tensor& gates) {
  return GatherFunction::apply(groups, channels_last(x), optional_of(gates));
}

at::Tensor combine_samples(const SampleGroupsPtr& groups, const std::vector<at::Tensor>& rows,
                           const at::Tensor& gates) {
  const variable_list dense = channels_last(rows);
  return CombineFunction::apply(groups, optional_of(gates), at::TensorList(dense));
}

std::vector<at::Tensor> split_experts(const at::Tensor& stacked) {
  return SplitFunction::apply(stacked);
}

}  // namespace moe
