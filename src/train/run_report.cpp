#include "train/run_report.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include <nlohmann/json.hpp>

namespace moe {

using Json = nlohmann::ordered_json;

void StepMeans::add(const StepInfo& info, double waited) {
  ++steps;
  loss += info.loss;
  grad_norm += info.grad_norm;
  load_seconds += waited;
  step_seconds += info.seconds;
  samples += static_cast<double>(info.samples);
  skipped += info.skipped ? 1 : 0;
  rates = info.rates;
  for (const auto& [name, value] : info.terms) {
    auto it = std::find_if(terms.begin(), terms.end(), [&](const auto& term) { return term.first == name; });
    if (it == terms.end()) it = terms.emplace(terms.end(), name, 0.0);
    it->second += value;
  }
}

double StepMeans::images_per_second() const {
  const double seconds = load_seconds + step_seconds;
  return seconds > 0 ? samples / seconds : 0;
}

static std::string number(const char* format, double value) {
  char buffer[48];
  std::snprintf(buffer, sizeof buffer, format, value);
  return buffer;
}

// The terms of the last layer by name, all others (auxiliary, denoising, encoder: names with '_') as one sum.
static std::string terms_text(const StepMeans& means) {
  std::string out;
  double rest = 0;
  bool has_rest = false;
  for (const auto& [name, value] : means.terms) {
    if (name.find('_') == std::string::npos) {
      out += text(out.empty() ? "" : " ", name, " ", number("%.3f", means.mean(value)));
    } else {
      rest += means.mean(value);
      has_rest = true;
    }
  }
  return has_rest ? out + " aux " + number("%.3f", rest) : out;
}

// Groups of one base, such as "new" and "new/no_decay", share their rate.
static std::string rates_text(const StepMeans& means) {
  std::string out;
  for (const auto& [name, rate] : means.rates) {
    if (!name.ends_with("/no_decay")) out += text(" ", name, " ", number("%.3g", rate));
  }
  return out;
}

std::string step_text(const RunEvent& event, const StepMeans& means) {
  std::string out =
      text("epoch ", event.epoch, "/", event.epochs, "  step ", event.step, "/", event.steps, "  loss ",
           number("%.3f", means.mean(means.loss)), " (", terms_text(means), ")  lr", rates_text(means), "  ",
           number("%.1f", event.images_per_second), " images/s  load ", number("%.0f", event.load_seconds * 1e3),
           " ms  step ", number("%.0f", event.step_seconds * 1e3), " ms  left ", format_duration(event.seconds_left));
  if (means.skipped > 0) out += text("  skipped ", means.skipped, " (fp16 overflow)");
  return out;
}

static Json head(const char* kind, const RunEvent& event) {
  return Json{{"event", kind}, {"step", event.step}, {"epoch", event.epoch}};
}

static Json layer_json(const RoutingStats& stats, int32_t window) {
  const RoutingCounts& counts = stats.window(window);
  const RoutingSummary summary = summarize(counts);
  const std::vector<ExpertShare> shares = expert_shares(counts);
  Json experts = Json::object();
  for (size_t e = 0; e < shares.size(); ++e) {
    experts[stats.expert_names()[e]] = {{"tokens", counts.assigned[e]},
                                        {"computed", counts.computed[e]},
                                        {"dropped", counts.dropped[e]},
                                        {"share", shares[e].share},
                                        {"activation_rate", shares[e].activation_rate},
                                        {"gate_mean", shares[e].gate_mean},
                                        {"importance", shares[e].importance}};
  }
  return {{"tokens", counts.tokens},
          {"dropped", summary.dropped},
          {"unrouted", counts.unrouted},
          {"token_entropy", summary.token_entropy},
          {"marginal_entropy", summary.marginal_entropy},
          {"mutual_information", summary.mutual_information()},
          {"load_cv", summary.load_cv},
          {"max_violation", summary.max_violation},
          {"gini", summary.gini},
          {"dominant_share", summary.dominant_share},
          {"confidence", summary.confidence},
          {"margin", summary.margin},
          {"class_nmi", summary.class_nmi},
          {"dead_experts", summary.dead_experts},
          {"experts", experts}};
}

static void add_routing(Json& json, const std::vector<RoutingStats*>& routing, int32_t window) {
  for (const RoutingStats* stats : routing) json["routing"][stats->name()] = layer_json(*stats, window);
}

// Counts in rows of E.
static Json table_json(const std::vector<int64_t>& counts, int64_t experts) {
  Json rows = Json::array();
  for (size_t i = 0; i < counts.size(); i += static_cast<size_t>(experts)) {
    rows.push_back(std::vector<int64_t>(counts.begin() + static_cast<int64_t>(i),
                                        counts.begin() + static_cast<int64_t>(i) + experts));
  }
  return rows;
}

// What would make the lines of steps long: tokens that chose both of two experts, [E][E], and assignments by class,
// [classes][E].
static void add_tables(Json& json, const std::vector<RoutingStats*>& routing, int32_t window) {
  for (const RoutingStats* stats : routing) {
    const RoutingCounts& counts = stats->window(window);
    Json& layer = json["routing"][stats->name()];
    layer["coactivation"] = table_json(counts.together, stats->experts());
    if (stats->classes() > 0) layer["class_routing"] = table_json(counts.by_class, stats->experts());
  }
}

std::string step_json(const RunEvent& event, const StepMeans& means, const std::vector<RoutingStats*>& routing) {
  Json json = head("step", event);
  json["loss"] = means.mean(means.loss);
  for (const auto& [name, value] : means.terms) json["terms"][name] = means.mean(value);
  for (const auto& [name, rate] : means.rates) json["lr"][name] = rate;
  json["grad_norm"] = means.mean(means.grad_norm);
  json["skipped"] = means.skipped;
  json["images_per_second"] = event.images_per_second;
  json["load_ms"] = event.load_seconds * 1e3;
  json["step_ms"] = event.step_seconds * 1e3;
  add_routing(json, routing, MOE_WINDOW_LAST_STEP);
  return json.dump();
}

std::vector<std::pair<std::string, double>> step_row(const RunEvent& event, const StepMeans& means) {
  std::vector<std::pair<std::string, double>> row = {{"step", static_cast<double>(event.step)},
                                                     {"epoch", static_cast<double>(event.epoch)},
                                                     {"loss", means.mean(means.loss)}};
  for (const auto& [name, value] : means.terms) row.emplace_back("loss_" + name, means.mean(value));
  for (const auto& [name, rate] : means.rates) row.emplace_back("lr_" + name, rate);
  row.emplace_back("grad_norm", means.mean(means.grad_norm));
  row.emplace_back("images_per_second", event.images_per_second);
  row.emplace_back("load_ms", event.load_seconds * 1e3);
  row.emplace_back("step_ms", event.step_seconds * 1e3);
  return row;
}

std::string eval_text(const RunEvent& event, const std::vector<Metric>& metrics, bool is_best, double seconds) {
  std::string out = text("epoch ", event.epoch, "/", event.epochs, "  step ", event.step, "  eval");
  for (size_t i = 0; i < metrics.size() && i < 6; ++i)
    out += text("  ", metrics[i].name, " ", number("%.4f", metrics[i].value));
  return out + "  in " + number("%.1f", seconds) + " s" + (is_best ? "  best so far" : "");
}

std::string eval_json(const RunEvent& event, const std::vector<Metric>& metrics, bool is_best,
                      const std::vector<RoutingStats*>& routing) {
  Json json = head("eval", event);
  for (const Metric& metric : metrics) json["metrics"][metric.name] = metric.value;
  json["best"] = is_best;
  add_routing(json, routing, MOE_WINDOW_LAST_EVAL);
  add_tables(json, routing, MOE_WINDOW_LAST_EVAL);
  return json.dump();
}

std::string epoch_text(const RunEvent& event, const std::vector<RoutingStats*>& routing) {
  std::string out = text("epoch ", event.epoch, "/", event.epochs, " done at step ", event.step);
  for (const RoutingStats* stats : routing) {
    const RoutingCounts& counts = stats->window(MOE_WINDOW_SINCE_RESET);
    const RoutingSummary summary = summarize(counts);
    out += text("  ", stats->name(), ":");
    const std::vector<ExpertShare> shares = expert_shares(counts);
    for (size_t e = 0; e < shares.size(); ++e) {
      out += text(" ", stats->expert_names()[e], " ", number("%.0f%%", shares[e].share * 100));
    }
    out += text(", entropy ", number("%.2f", summary.token_entropy));
  }
  return out;
}

std::string epoch_json(const RunEvent& event, const std::vector<RoutingStats*>& routing) {
  Json json = head("epoch", event);
  add_routing(json, routing, MOE_WINDOW_SINCE_RESET);
  add_tables(json, routing, MOE_WINDOW_SINCE_RESET);
  return json.dump();
}

}  // namespace moe
