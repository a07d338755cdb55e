#include "models/diffusion/summary.h"

#include "base/text.h"

namespace moe::diffusion {

namespace {

enum Part : size_t { embedding, experts, routers, projections, resampling, frequency, ends };

bool has(const std::string& name, const char* part) {
  return name.find(part) != std::string::npos;
}

Part part_of(const std::string& name) {
  if (name.starts_with("embedding")) return embedding;
  if (name.starts_with("stem") || name.starts_with("head")) return ends;
  if (name.starts_with("frequency")) return frequency;
  if (name.starts_with("halve") || name.starts_with("double") || name.starts_with("bias_double") ||
      name.starts_with("bottleneck")) {
    return resampling;
  }
  if (has(name, "router")) return routers;
  const bool projects = has(name, ".project.") || has(name, ".conv.") || has(name, ".norm.") || has(name, ".skip.") ||
                        has(name, ".modulation.");
  return projects ? projections : experts;
}

// Halvings of the map that a weight is applied to. Names end their first part in the level: "down1.conv.weight".
int64_t halvings(const NetworkOptions& options, const std::string& name) {
  const std::string first = name.substr(0, name.find('.'));
  const int64_t last = options.levels() - 1;
  const size_t digit = first.find_first_of("0123456789");
  const int64_t level = digit == std::string::npos ? 0 : std::stoll(first.substr(digit));
  if (first.starts_with("stem") || first.starts_with("head")) return 0;
  if (first.starts_with("middle") || first.starts_with("frequency") || first.starts_with("bottleneck")) {
    return options.topology == Topology::paper ? last + 1 : last;
  }
  // A transposed convolution is counted where its input lies.
  if (first.starts_with("halve") || first.starts_with("double_weight")) return level + 1;
  return level;
}

// Whether one of the weights named so belongs to one of several experts.
bool is_stacked(const NetworkOptions& options, const std::string& name, const at::Tensor& weight) {
  const bool mixes = options.experts.kind == ExpertKind::conv || options.experts.kind == ExpertKind::token;
  if (!mixes || has(name, "router") || has(name, "shared") || has(name, "fusion") || has(name, "token_conv"))
    return false;
  return part_of(name) == experts && weight.size(0) == options.experts.count && !has(name, "branch_norm");
}

int64_t multiply_adds(const NetworkOptions& options, const std::string& name, const at::Tensor& weight) {
  if (has(name, "norm") || has(name, "bias") || has(name, "filter") || weight.dim() < 2) return 0;
  if (name.starts_with("embedding.label")) return 0;
  const int64_t shift = halvings(options, name);
  const int64_t positions = (options.height >> shift) * (options.width >> shift);
  const bool by_pixel =
      weight.dim() >= 3 || (has(name, ".experts.router") && options.experts.kind == ExpertKind::token);
  return weight.numel() * (by_pixel ? positions : 1);
}

}  // namespace

std::vector<PartCost> part_costs(const NetworkOptions& options, const Network& network) {
  std::vector<PartCost> out = {{"embeddings"}, {"experts"},   {"routers"},      {"projections"},
                               {"resampling"}, {"frequency"}, {"stem and head"}};
  const int64_t all = options.experts.count, active = std::min(options.experts.router.top_k, all);
  for (const auto& item : network.named_parameters(true)) {
    const at::Tensor& weight = item.value();
    PartCost& part = out[static_cast<size_t>(part_of(item.key()))];
    const bool stacked = is_stacked(options, item.key(), weight);
    const auto share = [&](int64_t count) { return stacked ? count * active / all : count; };
    part.parameters += weight.numel();
    part.active_parameters += share(weight.numel());
    part.multiply_adds += share(multiply_adds(options, item.key(), weight));
  }
  return out;
}

static std::string experts_text(const ExpertOptions& experts) {
  const std::string chosen = text(experts.router.top_k, " of ", experts.count);
  switch (experts.kind) {
    case ExpertKind::conv:
      return chosen + " convolution experts a picture in every block\n";
    case ExpertKind::token:
      return chosen + " 1 x 1 experts a pixel in every block\n";
    case ExpertKind::dense:
      return "one expert in every block, as wide as a mixture's chosen ones together\n";
    default:
      return "parallel dilated convolutions in every block\n";
  }
}

std::string summary_text(const Options& options, const Network& network) {
  const NetworkOptions& n = options.network;
  std::string out = text("diffusion UNet, ", n.image_channels, " x ", n.height, " x ", n.width, ", ", n.classes,
                         " classes\n", experts_text(n.experts));
  return out + cost_table(part_costs(n, network)) +
         "multiply-adds of one picture and one call; a sampler calls once a step, guided twice\n";
}

}  // namespace moe::diffusion
