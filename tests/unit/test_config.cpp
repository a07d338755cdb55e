// Typed reading of settings: every trap of YAML, rules, overrides, dump and reference page. Files and `base:` are in
// test_config_files.cpp.
#include "config/config.h"

#include "base/rng.h"
#include "config_schema.h"
#include "support/test.h"

using namespace moe;

using Texts = std::vector<std::string>;

static void defaults_hold(void**) {
  const Config config = toy("");
  CHECK(config.task() == "toy");
  CHECK(config.integer("train.epochs") == 10);
  CHECK(config.text("train.amp") == "off");
  CHECK(config.boolean("train.shuffle"));
  CHECK(config.number("optimizer.lr") == 1e-4);
  CHECK((config.numbers("optimizer.betas") == std::vector<double>{0.9, 0.999}));
  CHECK(config.integers("train.milestones").empty());
  CHECK(!config.given("train.epochs") && config.given("task"));
  CHECK(config.origin("train.epochs") == "default");
}

static void given_values_win(void**) {
  const Config config =
      toy("seed: 7\nname: 'a: b # c'\ntrain: {epochs: 3, amp: bf16, shuffle: false, milestones: [4, 8]}\n"
          "optimizer:\n  lr: 2e-3\n  betas: [0, 0.5]\nmodel: {width: 1, depth: 34}\n");
  CHECK(config.integer("seed") == 7);
  CHECK(config.text("name") == "a: b # c");
  CHECK(config.text("train.amp") == "bf16");
  CHECK(!config.boolean("train.shuffle"));
  CHECK((config.integers("train.milestones") == std::vector<int64_t>{4, 8}));
  CHECK(config.number("optimizer.lr") == 0.002);
  CHECK((config.numbers("optimizer.betas") == std::vector<double>{0, 0.5}));
  CHECK(config.number("model.width") == 1 && config.integer("model.depth") == 34);
  CHECK(config.origin("optimizer.lr") == "toy.yml:6:7");
  CHECK(config.get("optimizer.lr") == "0.002" && config.get("train.milestones") == "[4, 8]");
}

// Every line: a body that must be refused, and a part of the message.
struct Refused {
  const char* body;
  moe_status status;
  const char* part;
};

static void check_refused(const Refused& refused) {
  CHECK_ERROR(refused.status, refused.part, toy(refused.body));
}

static void yaml_traps_are_closed(void**) {
  const Refused cases[] = {
      {"seed: 1\nseed: 2\n", MOE_ERR_PARSE,
       "toy.yml:3:1: expected every key once, got \"seed\" again, first given in line 2"},
      {"train: {epochs: 1, epochs: 2}\n", MOE_ERR_PARSE, "expected every key once, got \"epochs\" again"},
      {"seed: 010\n", MOE_ERR_CONFIG, "toy.yml:2:7: seed: expected an integer >= 0, got 010"},
      {"model: {width: 01.5}\n", MOE_ERR_CONFIG, "expected a number > 0 and <= 4"},
      {"seed: 0x10\n", MOE_ERR_CONFIG, "got \"0x10\""},
      {"seed: 1e3\n", MOE_ERR_CONFIG, "expected an integer >= 0, got 1e3"},
      {"seed: 3.0\n", MOE_ERR_CONFIG, "got 3.0"},
      {"seed: \"1\"\n", MOE_ERR_CONFIG, "got the text \"1\" (remove the quotes)"},
      {"train: {shuffle: yes}\n", MOE_ERR_CONFIG, "toy.yml:2:18: train.shuffle: expected true or false, got \"yes\""},
      {"train: {shuffle: on}\n", MOE_ERR_CONFIG, "got \"on\""},
      {"train: {shuffle: 1}\n", MOE_ERR_CONFIG, "got 1"},
      {"train: {shuffle: 'true'}\n", MOE_ERR_CONFIG, "remove the quotes"},
      {"optimizer: {lr: .nan}\n", MOE_ERR_CONFIG, "got \".nan\""},
      {"optimizer: {lr: .inf}\n", MOE_ERR_CONFIG, "got \".inf\""},
      {"optimizer: {lr: 1e999}\n", MOE_ERR_CONFIG, "got \"1e999\""},
      {"optimizer: {lr: 1_000}\n", MOE_ERR_CONFIG, "expected a number > 0"},
      {"seed: &a 1\n", MOE_ERR_PARSE, "anchors (&name) are not supported"},
      {"name: *a\n", MOE_ERR_PARSE, "toy.yml:2"},
      {"train: &x\n  freeze: [*x]\n", MOE_ERR_PARSE, "not supported"},
      {"<<: {seed: 1}\n", MOE_ERR_PARSE, "merge keys (<<)"},
      {"seed: !!int 1\n", MOE_ERR_PARSE, "tags are not supported"},
      {"name: !mine x\n", MOE_ERR_PARSE, "tags are not supported"},
      {"---\nseed: 1\n", MOE_ERR_PARSE, "expected one YAML document"},
      {"...\nseed: 1\n", MOE_ERR_PARSE, "expected one YAML document"},
      {"? [a, b]\n: 1\n", MOE_ERR_PARSE, "expected the name of a key, got a list"},
      {"~: 1\n", MOE_ERR_PARSE, "expected the name of a key"},
      {"name:\n", MOE_ERR_CONFIG, "toy.yml:2:1: name: expected a text, got nothing (write \"\" for an empty text)"},
      {"seed: ~\n", MOE_ERR_CONFIG, "got nothing"},
      {"seed: [1]\n", MOE_ERR_CONFIG, "got a list"},
      {"seed: {a: 1}\n", MOE_ERR_CONFIG, "got a map"},
      {"train: {epochs: 1\n", MOE_ERR_PARSE, "expected well-formed YAML, got an error: "},
      {"\tseed: 1\n", MOE_ERR_PARSE, "toy.yml:2"},
      {"name: a\xff\n", MOE_ERR_PARSE, "toy.yml:2: expected UTF-8 text"},
  };
  for (const Refused& refused : cases) check_refused(refused);
}

static void wrong_settings_name_the_right_ones(void**) {
  const Refused cases[] = {
      {"sed: 1\n", MOE_ERR_CONFIG, "toy.yml:2:1: unknown key \"sed\", did you mean \"seed\"?"},
      {"optimizer: {lrr: 1}\n", MOE_ERR_CONFIG,
       "toy.yml:2:13: unknown key \"optimizer.lrr\", did you mean \"optimizer.lr\""},
      {"optimiser: {lr: 1}\n", MOE_ERR_CONFIG, "unknown section \"optimiser\", did you mean \"optimizer\"?"},
      {"milestones: [1]\n", MOE_ERR_CONFIG, "did you mean \"train.milestones\"?"},
      {"train: {groups: {a: {lr: 1}}}\n", MOE_ERR_CONFIG, "did you mean \"optimizer.groups\""},
      {"optimizer: {groups: {new: {math: [a]}}}\n", MOE_ERR_CONFIG, "did you mean \"optimizer.groups.new.match\""},
      {"optimizer.lr: 1\n", MOE_ERR_CONFIG, "expected nested maps, got the dotted key \"optimizer.lr\""},
      {"optimizer: 3\n", MOE_ERR_CONFIG, "optimizer: expected a map of settings, got 3"},
      {"optimizer: {groups: {\"*\": {lr: 1}}}\n", MOE_ERR_CONFIG, "expected a name without dots, stars"},
      {"optimizer: {groups: {\"a\\nb\": {lr: 1}}}\n", MOE_ERR_CONFIG, "expected a name without dots, stars"},
      {"train: {epochs: 0}\n", MOE_ERR_CONFIG, "train.epochs: expected an integer >= 1, got 0"},
      {"model: {width: 4.5}\n", MOE_ERR_CONFIG, "model.width: expected a number > 0 and <= 4, got 4.5"},
      {"train: {amp: bf61}\n", MOE_ERR_CONFIG, "expected one of off, bf16, fp16, got \"bf61\", did you mean \"bf16\""},
      {"model: {depth: 19}\n", MOE_ERR_CONFIG, "expected one of 18, 34, 50, got 19"},
      {"train: {milestones: [1.5]}\n", MOE_ERR_CONFIG, "got element 1: 1.5"},
      {"train: {milestones: 3}\n", MOE_ERR_CONFIG, "expected a list of integers >= 1, got 3 (write a list: [3])"},
      {"train: {milestones: [1, 0]}\n", MOE_ERR_CONFIG,
       "toy.yml:2:21: train.milestones: expected a list of integers >= 1, got element 2: 0"},
      {"optimizer: {betas: [0.9, fast]}\n", MOE_ERR_CONFIG, "got element 2: \"fast\""},
      {"train: {freeze: [[a]]}\n", MOE_ERR_CONFIG, "got element 1: a list"},
  };
  for (const Refused& refused : cases) check_refused(refused);
}

static void the_task_is_required(void**) {
  const auto parse = [](const char* text) { return Config::parse(text, "toy.yml", toy_schema); };
  CHECK_ERROR(MOE_ERR_CONFIG, "toy.yml: task: expected the name of a system, got nothing", parse(""));
  CHECK_ERROR(MOE_ERR_CONFIG, "toy.yml: task: expected", parse("seed: 1\n"));
  CHECK_ERROR(MOE_ERR_CONFIG, "toy.yml:1:7: task: expected one of toy, got \"toi\", did you mean \"toy\"?",
              parse("task: toi"));
  CHECK_ERROR(MOE_ERR_CONFIG, "expected a map of settings, got a list", parse("[1, 2]"));
  CHECK_ERROR(MOE_ERR_CONFIG, "expected a map of settings, got \"toy\"", parse("toy"));
  CHECK_ERROR(MOE_ERR_PARSE, "expected UTF-8",
              Config::parse(std::string_view("task: toy\0", 10), "toy.yml", toy_schema));
}

static void deep_nesting_is_refused(void**) {
  for (const int depth : {40, 2000, 200000}) {
    CHECK_ERROR(MOE_ERR_PARSE, "toy.yml", toy("name: " + std::string(static_cast<size_t>(depth), '[')));
  }
  CHECK_ERROR(MOE_ERR_PARSE, "expected settings in YAML of at most", toy("name: " + std::string(2 << 20, 'a')));
}

static void names_of_the_user_keep_their_order(void**) {
  const Config config =
      toy("optimizer: {groups: {new: {lr: 1}, early: {}, backbone: {match: [a]}}}\nclasses: {Van: car, Bus: bus}\n");
  CHECK((config.children("optimizer.groups") == Texts{"new", "early", "backbone"}));
  CHECK((config.children("classes") == Texts{"Van", "Bus"}));
  CHECK(config.children("optimizer").empty());
  CHECK(config.number("optimizer.groups.new.lr") == 1);
  CHECK(config.given("optimizer.groups.new.lr") && !config.given("optimizer.groups.early.lr"));
  CHECK(config.number("optimizer.groups.early.lr") == 1e-4);
  CHECK(config.text("classes.Van") == "car");
}

static void overrides_win_or_change_nothing(void**) {
  Config config = toy("optimizer: {lr: 0.5}\n");
  config.set("optimizer.lr", "1e-4");
  CHECK(config.number("optimizer.lr") == 1e-4 && config.origin("optimizer.lr") == "override");
  config.set("optimizer.betas", "[0.1, 0.2]");
  config.set("optimizer.groups.new.lr", "2");
  CHECK((config.children("optimizer.groups") == Texts{"new"}));
  config.set("name", "");
  config.set("train.amp", "off");
  config.set("task", "toy");

  const std::string before = config.dump(true);
  CHECK_ERROR(MOE_ERR_CONFIG, "override optimizer.lr: expected a number > 0, got \"fast\"",
              config.set("optimizer.lr", "fast"));
  CHECK_ERROR(MOE_ERR_CONFIG, "override optimizer.lr: expected a number > 0, got nothing",
              config.set("optimizer.lr", ""));
  CHECK_ERROR(MOE_ERR_CONFIG, "override optimizer.lt: unknown key, did you mean \"optimizer.lr\"",
              config.set("optimizer.lt", "1"));
  CHECK_ERROR(MOE_ERR_CONFIG, "override optimizer: expected a key, got a section", config.set("optimizer", "1"));
  CHECK_ERROR(MOE_ERR_CONFIG, "unknown key", config.set("", "1"));
  CHECK_ERROR(MOE_ERR_CONFIG, "unknown key", config.set("a\nb", "1"));
  CHECK_ERROR(MOE_ERR_CONFIG, "without dots, stars", config.set("optimizer.groups.*.lr", "1"));
  CHECK_ERROR(MOE_ERR_CONFIG, "got a map", config.set("name", "a: b"));
  CHECK_ERROR(MOE_ERR_PARSE, "override seed", config.set("seed", "[1"));
  CHECK_ERROR(MOE_ERR_PARSE, "override seed", config.set("seed", "*x"));
  CHECK_ERROR(MOE_ERR_CONFIG, "task: the task is fixed by the file", config.set("task", "other"));
  CHECK(config.dump(true) == before);
}

static void wrong_reads_are_defects(void**) {
  const Config config = toy("");
  CHECK_ERROR(MOE_ERR_INTERNAL, "train.epochs is a integer, read as a number", config.number("train.epochs"));
  CHECK_ERROR(MOE_ERR_INTERNAL, "no key \"train.epoch\"", config.integer("train.epoch"));
  CHECK_ERROR(MOE_ERR_INTERNAL, "no key", config.given("nothing"));
  CHECK_ERROR(MOE_ERR_NOT_FOUND, "no setting has the key \"train.epoch\", did you mean \"train.epochs\"",
              config.get("train.epoch"));
  CHECK_ERROR(MOE_ERR_NOT_FOUND, "no setting", config.origin("optimizer"));
  CHECK_ERROR(MOE_ERR_INTERNAL, "no key", Config().integer("seed"));
}

static void schemas_are_checked(void**) {
  const auto parse = [](SchemaLookup lookup) { return Config::parse("task: t", "t.yml", lookup); };
  CHECK_ERROR(MOE_ERR_INTERNAL, "a is listed twice", parse([](const std::string&) {
                return Schema{{"task", KeyType::text, "", "", ""},
                              {"a", KeyType::text, "", "", ""},
                              {"a", KeyType::text, "", "", ""}};
              }));
  CHECK_ERROR(MOE_ERR_INTERNAL, "both a key and a section", parse([](const std::string&) {
                return Schema{{"a", KeyType::text, "", "", ""}, {"a.b", KeyType::text, "", "", ""}};
              }));
  CHECK_ERROR(MOE_ERR_INTERNAL, "default of a: expected an integer > 0, got 0", parse([](const std::string&) {
                return Schema{{"a", KeyType::integer, "0", "> 0", ""}};
              }));
}

static void errors_point_at_the_setting(void**) {
  Config config = toy("optimizer: {lr: 0.5}\n");
  CHECK_ERROR(MOE_ERR_CONFIG, "toy.yml:2:17: optimizer.lr: too large", config.fail_at("optimizer.lr", "too large"));
  CHECK_ERROR(MOE_ERR_CONFIG, "seed: too small", config.fail_at("seed", "too small"));
  config.set("seed", "3");
  CHECK_ERROR(MOE_ERR_CONFIG, "override seed: too small", config.fail_at("seed", "too small"));
}

static const char* const full =
    "name: 'quote \" back \\ tab \t # no comment'\nseed: 3\n"
    "train:\n  milestones: [1, 2]\n  freeze: ['^backbone\\.', '~', '', 'a, b', '...', '- x', 'null', \"\\x01\\x7f\", "
    "'größe']\n"
    "optimizer:\n  lr: 0.1\n  groups:\n    'two words': {lr: 3}\n    empty: {}\n    'null': {match: [x]}\n"
    "classes: {Van: car, 'Bus stop': '', '1': '2'}\n";

static void check_same(const Config& a, const Config& b) {
  CHECK(a.keys() == b.keys());
  for (const std::string& key : a.keys()) CHECK(a.get(key) == b.get(key));
  CHECK(a.children("optimizer.groups") == b.children("optimizer.groups"));
  CHECK(a.texts("train.freeze") == b.texts("train.freeze"));
  CHECK(a.text("name") == b.text("name"));
}

static void dumps_read_back(void**) {
  const Config config = toy(full);
  for (const bool origins : {false, true}) {
    const Config again = Config::parse(config.dump(origins), "dump.yml", toy_schema);
    check_same(config, again);
    CHECK(again.dump(false) == config.dump(false));
  }
}

static void dumps_are_readable(void**) {
  const Config config = toy("optimizer: {groups: {new: {lr: 2}, old: {}}}\nname: runs/a-1\n");
  const std::string dump = config.dump(true);
  CHECK(dump.starts_with(
      "task: toy  # toy.yml:1:7\nseed: 0  # default\nname: runs/a-1  # toy.yml:3:7\ntrain:\n  epochs: 10"));
  CHECK(dump.find("  groups:\n    new:\n      lr: 2  # toy.yml:2:32\n    old: {}\n") != std::string::npos);
  CHECK(dump.find("  freeze: []") < dump.find("optimizer:"));
}

static void values_survive_get_and_set(void**) {
  const Config config = toy(full);
  Config copy = toy("");
  for (const std::string& key : config.keys()) copy.set(key, config.get(key));
  for (const std::string& key : config.keys()) CHECK(copy.get(key) == config.get(key));
}

static void copies_are_independent(void**) {
  Config config = toy("seed: 1\n");
  Config copy = config;
  copy.set("seed", "2");
  CHECK(config.integer("seed") == 1 && copy.integer("seed") == 2);
  const Config moved = std::move(copy);
  CHECK(moved.integer("seed") == 2);
}

static void broken_texts_never_crash(void**) {
  const std::string text = "task: toy\n" + std::string(full);
  const std::string noise = "\"'[]{}:,&*!|>%@`#-?~\n\t \\x09azAZ\x01\x80\xff";
  Rng rng(1, "test.config.fuzz");
  int64_t loaded = 0;
  for (size_t i = 0; i < text.size() * 12; ++i) {
    std::string broken = text;
    const size_t at = i % text.size();
    const char c = noise[static_cast<size_t>(rng.below(static_cast<int64_t>(noise.size())))];
    if (i % 3 == 0) broken[at] = c;
    if (i % 3 == 1) broken.insert(at, 1, c);
    if (i % 3 == 2) broken.erase(at, static_cast<size_t>(1 + rng.below(4)));
    try {
      const Config config = Config::parse(broken, "fuzz.yml", toy_schema);
      check_same(config, Config::parse(config.dump(true), "dump.yml", toy_schema));
      ++loaded;
    } catch (const Error& error) {
      CHECK(error.status() == MOE_ERR_PARSE || error.status() == MOE_ERR_CONFIG || error.status() == MOE_ERR_NOT_FOUND);
      CHECK(std::string(error.what()).find('\n') == std::string::npos);
    }
  }
  CHECK(loaded > 50);
}

static void the_reference_page_lists_every_key(void**) {
  const std::string page = schema_markdown(toy_schema("toy"), "Settings of toy");
  CHECK(page.starts_with("# Settings of toy\n"));
  CHECK(page.find("| `train.amp` | text | `off` | `off`, `bf16`, `fp16` | Mixed precision. | 0.1 |\n") !=
        std::string::npos);
  CHECK(page.find("| `model.width` | number | `1` | `> 0, <= 4` | Width factor. | 0.1 |\n") != std::string::npos);
  CHECK(page.find("## optimizer\n") != std::string::npos);
  size_t rows = 0;
  for (const std::string& line : split(page, '\n')) rows += line.starts_with("| `") ? 1 : 0;
  CHECK(rows == toy_schema("toy").size());
}

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(defaults_hold),
      cmocka_unit_test(given_values_win),
      cmocka_unit_test(yaml_traps_are_closed),
      cmocka_unit_test(wrong_settings_name_the_right_ones),
      cmocka_unit_test(the_task_is_required),
      cmocka_unit_test(deep_nesting_is_refused),
      cmocka_unit_test(names_of_the_user_keep_their_order),
      cmocka_unit_test(overrides_win_or_change_nothing),
      cmocka_unit_test(wrong_reads_are_defects),
      cmocka_unit_test(schemas_are_checked),
      cmocka_unit_test(errors_point_at_the_setting),
      cmocka_unit_test(dumps_read_back),
      cmocka_unit_test(dumps_are_readable),
      cmocka_unit_test(values_survive_get_and_set),
      cmocka_unit_test(copies_are_independent),
      cmocka_unit_test(broken_texts_never_crash),
      cmocka_unit_test(the_reference_page_lists_every_key),
  };
  return cmocka_run_group_tests(tests, nullptr, nullptr);
}
