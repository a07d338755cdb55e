// What the mixture layers of a session did. Shares and rates are derived here from the counts of moe/routing_stats.h.
#include "buffers.h"
#include "guard.h"
#include "handles.h"
#include "moe/routing_stats.h"

using namespace moe;
using namespace moe::capi;

static const RoutingStats& layer_of(const moe_session* session, int32_t layer) {
  require(session, "session");
  const std::vector<RoutingStats*> layers = session->session->routing();
  check(!layers.empty(), MOE_ERR_INVALID_ARGUMENT, "layer: this model has no mixture layers, got ", layer);
  check(layer >= 0 && static_cast<size_t>(layer) < layers.size(), MOE_ERR_INVALID_ARGUMENT, "layer: expected 0 to ",
        layers.size() - 1, ", got ", layer);
  return *layers[static_cast<size_t>(layer)];
}

static std::vector<moe_expert_stat> expert_stats(const RoutingCounts& counts) {
  const std::vector<ExpertShare> shares = expert_shares(counts);
  std::vector<moe_expert_stat> stats(shares.size());
  for (size_t e = 0; e < stats.size(); ++e) {
    stats[e] = {.tokens = counts.assigned[e],
                .computed = counts.computed[e],
                .dropped = counts.dropped[e],
                .share = shares[e].share,
                .activation_rate = shares[e].activation_rate,
                .gate_mean = shares[e].gate_mean,
                .importance = shares[e].importance};
  }
  return stats;
}

static moe_layer_stat layer_stat(const RoutingCounts& counts) {
  const RoutingSummary summary = summarize(counts);
  return {.struct_size = sizeof(moe_layer_stat),
          .dead_experts = static_cast<int32_t>(summary.dead_experts),
          .tokens = counts.tokens,
          .assignments = summary.assignments,
          .token_entropy = summary.token_entropy,
          .marginal_entropy = summary.marginal_entropy,
          .load_cv = summary.load_cv,
          .max_violation = summary.max_violation,
          .dropped = summary.dropped,
          .unrouted = counts.unrouted,
          .mutual_information = summary.mutual_information(),
          .gini = summary.gini,
          .dominant_share = summary.dominant_share,
          .confidence = summary.confidence,
          .margin = summary.margin,
          .class_nmi = summary.class_nmi};
}

extern "C" {

moe_status moe_session_layer_count(const moe_session* session, int32_t* out) {
  return guard([&] {
    require(session, "session");
    require(out, "out");
    *out = static_cast<int32_t>(session->session->routing().size());
  });
}

moe_status moe_session_layer_info(const moe_session* session, int32_t layer, moe_layer_info* out) {
  return guard([&] {
    require(session, "session");
    require_struct(out, "out");
    const RoutingStats& stats = layer_of(session, layer);
    moe_layer_info info = MOE_LAYER_INFO_INIT;
    info.experts = static_cast<int32_t>(stats.experts());
    info.top_k = static_cast<int32_t>(stats.top_k());
    info.classes = static_cast<int32_t>(stats.classes());
    write_name(info.name, stats.name());
    write_name(info.kind, stats.kind());
    write_name(info.unit, stats.unit());
    write_struct(info, out);
  });
}

moe_status moe_session_expert_name(const moe_session* session, int32_t layer, int32_t expert, char* buffer,
                                   size_t capacity, size_t* needed) {
  return guard([&] {
    const std::vector<std::string>& names = layer_of(session, layer).expert_names();
    check(expert >= 0 && static_cast<size_t>(expert) < names.size(), MOE_ERR_INVALID_ARGUMENT, "expert: expected 0 to ",
          names.size() - 1, ", got ", expert);
    write_text(names[static_cast<size_t>(expert)], buffer, capacity, needed);
  });
}

moe_status moe_session_expert_stats(const moe_session* session, int32_t layer, int32_t window, moe_expert_stat* stats,
                                    size_t capacity, size_t* count) {
  return guard([&] { write_array(expert_stats(layer_of(session, layer).window(window)), stats, capacity, count); });
}

moe_status moe_session_layer_stats(const moe_session* session, int32_t layer, int32_t window, moe_layer_stat* out) {
  return guard([&] {
    require(session, "session");
    require_struct(out, "out");
    write_struct(layer_stat(layer_of(session, layer).window(window)), out);
  });
}

moe_status moe_session_class_routing(const moe_session* session, int32_t layer, int32_t window, int64_t* counts,
                                     size_t capacity, size_t* count) {
  return guard([&] {
    const RoutingStats& stats = layer_of(session, layer);
    check(stats.classes() > 0, MOE_ERR_UNSUPPORTED, stats.name(), ": expected a layer that counts by class, got a ",
          stats.kind(), " layer over ", stats.unit(), " tokens, which have no class");
    write_array(stats.window(window).by_class, counts, capacity, count);
  });
}

moe_status moe_session_coactivation(const moe_session* session, int32_t layer, int32_t window, int64_t* counts,
                                    size_t capacity, size_t* count) {
  return guard([&] { write_array(layer_of(session, layer).window(window).together, counts, capacity, count); });
}

moe_status moe_session_stats_reset(moe_session* session) {
  return guard([&] {
    require(session, "session");
    for (RoutingStats* stats : session->session->routing()) stats->reset();
  });
}

}  // extern "C"
