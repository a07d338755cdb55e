#include "models/rtdetr/experts.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "moe/router.h"
#include "tensor/random.h"
#include "tensor/scope.h"

namespace moe::rtdetr {

namespace {

struct NamedGroup {
  std::string name;
  std::vector<std::string> classes;
};

std::vector<NamedGroup> wanted_groups(const Config& config, const std::string& choice,
                                      const std::vector<std::string>& classes) {
  if (choice == "by_complexity") {
    return {{"vehicles", {"car", "truck", "bus"}}, {"people", {"person"}}, {"two_wheelers", {"bicycle", "motorcycle"}}};
  }
  if (choice == "by_size") {
    return {{"large", {"truck", "bus"}}, {"medium", {"car"}}, {"small", {"person", "bicycle", "motorcycle"}}};
  }
  std::vector<NamedGroup> out;
  if (choice == "by_class") {
    for (const std::string& name : classes) out.push_back({name, {name}});
    return out;
  }
  for (const std::string& name : config.children("model.experts.table")) {
    out.push_back({name, config.texts("model.experts.table." + name)});
  }
  if (out.empty()) {
    config.fail_at("model.experts.groups", "custom needs model.experts.table.<name>: [class, ...], got none");
  }
  return out;
}

void check_table(const Config& config, const std::vector<NamedGroup>& groups, const std::vector<std::string>& classes) {
  for (const NamedGroup& group : groups) {
    for (const std::string& name : group.classes) {
      if (std::find(classes.begin(), classes.end(), name) != classes.end()) continue;
      config.fail_at("model.experts.table." + group.name, text("expected names of data.classes (", join(classes, ", "),
                                                               "), got ", quote(name), did_you_mean(name, classes)));
    }
  }
}

int64_t groups_with(const std::vector<NamedGroup>& groups, const std::string& name) {
  int64_t count = 0;
  for (const NamedGroup& group : groups) count += std::count(group.classes.begin(), group.classes.end(), name);
  return count;
}

std::vector<int64_t> own_labels(const std::vector<int64_t>& group) {
  std::vector<int64_t> own(group.empty() ? 0 : static_cast<size_t>(group.back()) + 1, -1);
  for (size_t i = 0; i < group.size(); ++i) own[group[i]] = static_cast<int64_t>(i);
  return own;
}

bool holds(const std::vector<int64_t>& own, int64_t label) {
  return label < static_cast<int64_t>(own.size()) && own[label] >= 0;
}

}  // namespace

ExpertGroups read_groups(const Config& config, const std::vector<std::string>& classes) {
  const std::string choice = config.text("model.experts.groups");
  const std::vector<NamedGroup> wanted = wanted_groups(config, choice, classes);
  if (choice == "custom") check_table(config, wanted, classes);
  for (const std::string& name : classes) {
    const int64_t count = groups_with(wanted, name);
    if (count == 1) continue;
    config.fail_at("model.experts.groups",
                   text("expected class ", quote(name), " in exactly one group of ", choice, ", got it in ", count,
                        choice == "custom" ? "" : ": use custom with model.experts.table"));
  }
  ExpertGroups out;
  for (const NamedGroup& group : wanted) {
    std::vector<int64_t> ids;
    for (size_t c = 0; c < classes.size(); ++c) {
      if (std::count(group.classes.begin(), group.classes.end(), classes[c])) ids.push_back(static_cast<int64_t>(c));
    }
    if (ids.empty()) continue;
    out.names.push_back(group.name);
    out.classes.push_back(std::move(ids));
  }
  return out;
}

ExpertGroups one_group(const std::vector<std::string>& classes) {
  std::vector<int64_t> ids(classes.size());
  for (size_t c = 0; c < ids.size(); ++c) ids[c] = static_cast<int64_t>(c);
  return {{"all"}, {ids}};
}

Targets targets_of(const Targets& all, const std::vector<int64_t>& classes, const std::vector<int64_t>& images) {
  const std::vector<int64_t> own = own_labels(classes);
  const at::Tensor labels = all.labels.contiguous();
  const int64_t* label = labels.const_data_ptr<int64_t>();
  std::vector<int64_t> rows, kept;
  Targets out;
  out.offsets = {0};
  for (const int64_t image : images) {
    for (int64_t row = all.offsets[image]; row < all.offsets[image + 1]; ++row) {
      if (!holds(own, label[row])) continue;
      rows.push_back(row);
      kept.push_back(own[label[row]]);
    }
    out.offsets.push_back(static_cast<int64_t>(rows.size()));
  }
  out.boxes = all.boxes.index_select(0, at::tensor(rows, at::kLong));
  out.labels = at::tensor(kept, at::kLong);
  return out;
}

Matches matches_of(const Matches& all, const Targets& targets, const std::vector<int64_t>& classes,
                   const std::vector<int64_t>& images) {
  if (!all.target.defined()) return all;
  const std::vector<int64_t> own = own_labels(classes);
  const at::Tensor labels = targets.labels.contiguous(), match_image = all.image.contiguous(),
                   match_query = all.query.contiguous(), match_target = all.target.contiguous();
  const int64_t* label = labels.const_data_ptr<int64_t>();
  std::vector<int64_t> row_of_image(static_cast<size_t>(targets.images()), -1);
  std::vector<int64_t> own_target(static_cast<size_t>(targets.count()), -1);
  int64_t count = 0;
  for (size_t row = 0; row < images.size(); ++row) {
    row_of_image[images[row]] = static_cast<int64_t>(row);
    for (int64_t target = targets.offsets[images[row]]; target < targets.offsets[images[row] + 1]; ++target) {
      if (holds(own, label[target])) own_target[target] = count++;
    }
  }
  std::vector<int64_t> image, query, target;
  for (int64_t i = 0; i < match_target.numel(); ++i) {
    const int64_t wanted = own_target[match_target.const_data_ptr<int64_t>()[i]];
    if (wanted < 0) continue;
    image.push_back(row_of_image[match_image.const_data_ptr<int64_t>()[i]]);
    query.push_back(match_query.const_data_ptr<int64_t>()[i]);
    target.push_back(wanted);
  }
  return {at::tensor(image, at::kLong), at::tensor(query, at::kLong), at::tensor(target, at::kLong)};
}

at::Tensor class_counts(const Targets& all, int64_t classes) {
  at::Tensor counts = at::zeros({all.images(), classes}, at::kLong);
  const at::Tensor labels = all.labels.contiguous();
  int64_t* out = counts.mutable_data_ptr<int64_t>();
  for (int64_t image = 0; image < all.images(); ++image) {
    for (int64_t row = all.offsets[image]; row < all.offsets[image + 1]; ++row) {
      ++out[image * classes + labels.const_data_ptr<int64_t>()[row]];
    }
  }
  return counts;
}

at::Tensor presence(const Targets& all, const ExpertGroups& groups) {
  int64_t classes = 0;
  for (const auto& group : groups.classes) classes += static_cast<int64_t>(group.size());
  const at::Tensor counts = class_counts(all, classes);
  std::vector<at::Tensor> columns;
  for (const auto& group : groups.classes) columns.push_back(counts.index_select(1, at::tensor(group)).sum(1) > 0);
  return at::stack(columns, 1);
}

std::vector<double> group_counts(const at::Tensor& labels, const ExpertGroups& groups) {
  std::vector<double> counts;
  for (const auto& group : groups.classes) {
    counts.push_back(static_cast<double>(at::isin(labels, at::tensor(group)).sum().item<int64_t>()));
  }
  return counts;
}

at::Tensor choose_experts(const at::Tensor& probabilities, int64_t top_k, double threshold) {
  const at::Tensor dense = probabilities.detach().to(at::kDouble).contiguous();
  const int64_t images = dense.size(0), experts = dense.size(1);
  at::Tensor chosen = at::zeros({images, experts}, at::kBool);
  std::vector<int64_t> order(static_cast<size_t>(experts));
  for (int64_t b = 0; b < images; ++b) {
    const double* p = dense.const_data_ptr<double>() + b * experts;
    for (int64_t e = 0; e < experts; ++e) order[e] = e;
    std::stable_sort(order.begin(), order.end(), [p](int64_t i, int64_t j) { return p[i] > p[j]; });
    bool* row = chosen.mutable_data_ptr<bool>() + b * experts;
    for (int64_t k = 0; k < std::min(top_k, experts); ++k) row[order[k]] = k == 0 || p[order[k]] >= threshold;
  }
  return chosen;
}

std::vector<int64_t> rows_of(const at::Tensor& mask, int64_t expert) {
  const at::Tensor column = mask.select(1, expert).contiguous();
  std::vector<int64_t> rows;
  for (int64_t b = 0; b < column.numel(); ++b) {
    if (column.const_data_ptr<bool>()[b]) rows.push_back(b);
  }
  return rows;
}

at::Tensor best_scores(const at::Tensor& scores, const ExpertGroups& groups) {
  const at::Tensor best = scores.amax(1);  // [B, C]
  std::vector<at::Tensor> columns;
  for (const auto& group : groups.classes) columns.push_back(best.index_select(1, at::tensor(group)).amax(1));
  return at::stack(columns, 1);
}

Gate::Gate(int64_t hidden, int64_t levels, int64_t experts, double prior)
    : Mlp(2 * levels * hidden, 128, experts, 2),
      scale_(register_parameter("scale", nn::unset({experts}))),
      prior_(prior) {}

void Gate::init_own(const nn::ParameterInit&) {
  nn::ParameterInit::constant(scale_, 1);
  nn::ParameterInit::constant(last().bias, std::log((1 - prior_) / prior_));
}

at::Tensor Gate::logits(const std::vector<at::Tensor>& maps, const at::Tensor& best) const {
  const Float32Scope precise;
  std::vector<at::Tensor> pooled;
  for (const at::Tensor& map : maps) {
    const at::Tensor full = at_least_float(map).flatten(2);
    pooled.push_back(full.mean(2));
    pooled.push_back(full.amax(2));
  }
  return forward(at::cat(pooled, 1)) + best * scale_;
}

GateDecision decide(const GateOptions& options, const at::Tensor& logits, const at::Tensor& present, Rng noise) {
  check_finite_logits(logits, 1, "decoder.gate");
  GateDecision out;
  out.logits = logits;
  at::Tensor scores = logits.detach();
  if (present.defined() && options.noise > 0) {
    scores = scores + options.noise * normal_tensor(noise, scores.sizes()).to(scores.scalar_type());
  }
  out.probabilities = at::sigmoid(scores / options.temperature);
  out.chosen = choose_experts(out.probabilities, options.top_k, options.threshold);
  out.computed = present.defined() ? out.chosen.logical_or(present) : out.chosen;
  return out;
}

}  // namespace moe::rtdetr
