// Sorts parameters into optimizer groups: by name, by origin, and by the no-decay rule.
#include <optional>

#include "base/error.h"
#include "base/text.h"
#include "train/optimizer.h"
#include "train/patterns.h"

namespace moe {

namespace {

struct GroupRule {
  std::string name;
  Patterns match;
  double lr, weight_decay;
  std::string key(const char* setting) const { return text("optimizer.groups.", name, ".", setting); }
};

double group_number(const Config& config, const std::string& group, const std::string& setting) {
  const std::string own = text("optimizer.groups.", group, ".", setting);
  return config.number(config.given(own) ? own : "optimizer." + setting);
}

bool by_origin(const std::string& name) {
  return name == "pretrained" || name == "new" || name == "default";
}

GroupRule make_rule(const Config& config, const std::string& name) {
  GroupRule rule{name, Patterns(config, text("optimizer.groups.", name, ".match")), group_number(config, name, "lr"),
                 group_number(config, name, "weight_decay")};
  if (!rule.match.empty() || by_origin(name)) return rule;
  const std::string key = rule.key(config.given(rule.key("lr")) ? "lr" : "weight_decay");
  config.fail_at(config.given(key) ? key : rule.key("match"),
                 text("expected match patterns for group ", quoted(name),
                      ", got none; only pretrained, new and default take parameters without"));
}

// Index of the rule that takes the parameter; rules.size() - 1 is "default".
size_t rule_of(const Config& config, const std::vector<GroupRule>& rules, const NamedParameter& parameter) {
  std::optional<size_t> taken;
  for (size_t i = 0; i < rules.size(); ++i) {
    if (!rules[i].match.match(parameter.name)) continue;
    if (taken) {
      config.fail_at(rules[i].key("match"), text("expected every parameter in one group, got ", quoted(parameter.name),
                                                 " in ", quoted(rules[*taken].name), " and ", quoted(rules[i].name)));
    }
    taken = i;
  }
  if (taken) return *taken;
  const char* origin = parameter.pretrained ? "pretrained" : "new";
  for (size_t i = 0; i < rules.size(); ++i) {
    if (rules[i].name == origin && rules[i].match.empty()) return i;
  }
  return rules.size() - 1;
}

std::vector<GroupRule> make_rules(const Config& config) {
  std::vector<GroupRule> rules;
  std::string last = "default";
  for (const std::string& name : config.children("optimizer.groups")) {
    GroupRule rule = make_rule(config, name);
    if (name == last && !rule.match.empty()) {
      config.fail_at(rule.key("match"), "expected no patterns: the group default takes what the others leave");
    }
    if (name != last) rules.push_back(std::move(rule));
  }
  rules.push_back(make_rule(config, last));
  return rules;
}

// Two groups a rule, with and without decay; a group without members is left out.
std::vector<ParameterGroup> split_by_decay(const Config& config, const std::vector<NamedParameter>& parameters,
                                           const GroupRule& rule, const std::vector<size_t>& members) {
  const Patterns no_decay(config, "optimizer.no_decay", "norm_bias");
  std::vector<ParameterGroup> groups = {{rule.name, rule.lr, rule.weight_decay, {}},
                                        {rule.name + "/no_decay", rule.lr, 0, {}}};
  for (size_t member : members) {
    const NamedParameter& parameter = parameters[member];
    const bool exempt = (no_decay.keyword() && parameter.is_norm_or_bias) || no_decay.match(parameter.name);
    groups[exempt ? 1 : 0].members.push_back(member);
  }
  std::erase_if(groups, [](const ParameterGroup& group) { return group.members.empty(); });
  return groups;
}

}  // namespace

std::vector<ParameterGroup> make_groups(const Config& config, const std::vector<NamedParameter>& parameters) {
  const std::vector<GroupRule> rules = make_rules(config);
  std::vector<std::vector<size_t>> members(rules.size());
  for (size_t i = 0; i < parameters.size(); ++i) members[rule_of(config, rules, parameters[i])].push_back(i);
  std::vector<ParameterGroup> groups;
  for (size_t i = 0; i < rules.size(); ++i) {
    if (members[i].empty() && !rules[i].match.empty()) {
      config.fail_at(rules[i].key("match"),
                     text("expected patterns of parameter names, got ",
                          quoted(join(config.texts(rules[i].key("match")), ", ")), ", which matches no parameter"));
    }
    for (ParameterGroup& group : split_by_decay(config, parameters, rules[i], members[i]))
      groups.push_back(std::move(group));
  }
  return groups;
}

}  // namespace moe
