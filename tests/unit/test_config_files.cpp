// `base:` inheritance between files: order, diamonds, cycles, positions, missing files.
#include "base/files.h"
#include "config_schema.h"
#include "support/test.h"

using namespace moe;

static void put(const TemporaryFolder& folder, const std::string& name, const std::string& text) {
  make_directories(parent_directory(folder / name));
  write_file_atomic(folder / name, text);
}

static Config load(const TemporaryFolder& folder, const std::string& name) {
  return Config::load(folder / name, toy_schema);
}

static void the_leaf_wins(void**) {
  TemporaryFolder folder;
  put(folder, "base/a.yml", "task: toy\nseed: 1\nname: a\ntrain: {epochs: 1, milestones: [1, 2, 3]}\n");
  put(folder, "base/b.yml", "seed: 2\ntrain: {amp: bf16}\noptimizer:\n");
  put(folder, "sets/leaf.yml", "base: [../base/a.yml, ../base/b.yml]\ntrain: {milestones: [9]}\n");
  const Config config = load(folder, "sets/leaf.yml");
  CHECK(config.integer("seed") == 2);
  CHECK(config.text("name") == "a");
  CHECK(config.integer("train.epochs") == 1 && config.text("train.amp") == "bf16");
  CHECK((config.integers("train.milestones") == std::vector<int64_t>{9}));
  CHECK(config.origin("train.epochs") == folder / "base/a.yml" + ":4:17");
  CHECK(config.origin("train.milestones") == folder / "sets/leaf.yml" + ":2:21");
}

static void diamonds_and_chains_are_fine(void**) {
  TemporaryFolder folder;
  put(folder, "root.yml", "task: toy\nseed: 1\n");
  put(folder, "left.yml", "base: root.yml\nname: left\nseed: 5\n");
  put(folder, "right.yml", "base: root.yml\ntrain: {epochs: 2}\n");
  put(folder, "leaf.yml", "base: [left.yml, right.yml]\n");
  const Config config = load(folder, "leaf.yml");
  CHECK(config.text("name") == "left" && config.integer("train.epochs") == 2);
  CHECK(config.integer("seed") == 1);  // depth-first: right.yml brings root.yml's seed after left.yml's
}

static void cycles_print_their_chain(void**) {
  TemporaryFolder folder;
  put(folder, "a.yml", "base: b.yml\n");
  put(folder, "b.yml", "task: toy\nbase: ./a.yml\n");
  const std::string chain = "base: cycle " + folder / "a.yml" + " -> " + folder / "b.yml" + " -> " + folder / "a.yml";
  CHECK_ERROR(MOE_ERR_CONFIG, folder / "b.yml" + ":2:7: " + chain, load(folder, "a.yml"));
  put(folder, "self.yml", "base: self.yml\n");
  CHECK_ERROR(MOE_ERR_CONFIG, "base: cycle", load(folder, "self.yml"));
}

static void depth_and_number_are_bounded(void**) {
  TemporaryFolder folder;
  for (int i = 0; i < 40; ++i) {
    const std::string next = text("f", i + 1, ".yml");
    put(folder, text("f", i, ".yml"), "base: " + next + "\n");
    put(folder, text("w", i, ".yml"), i < 14 ? text("base: [w", i + 1, ".yml, w", i + 1, ".yml]\n") : "task: toy\n");
  }
  CHECK_ERROR(MOE_ERR_CONFIG, "expected a chain of at most 16 files", load(folder, "f0.yml"));
  CHECK_ERROR(MOE_ERR_CONFIG, "expected at most 256 inherited files", load(folder, "w0.yml"));
}

static void errors_name_the_file_they_are_in(void**) {
  TemporaryFolder folder;
  put(folder, "bad.yml", "task: toy\ntrain:\n  epochs: many\n");
  put(folder, "leaf.yml", "base: bad.yml\nname: x\n");
  CHECK_ERROR(MOE_ERR_CONFIG, folder / "bad.yml" + ":3:11: train.epochs: expected an integer >= 1",
              load(folder, "leaf.yml"));
  put(folder, "lost.yml", "task: toy\nbase: [nowhere.yml]\n");
  CHECK_ERROR(MOE_ERR_NOT_FOUND, folder / "lost.yml" + ":2:8: " + folder / "nowhere.yml" + ": cannot open",
              load(folder, "lost.yml"));
  CHECK_ERROR(MOE_ERR_NOT_FOUND, folder / "none.yml", load(folder, "none.yml"));
  CHECK_ERROR(MOE_ERR_IO, "cannot read", Config::load(folder.path(), toy_schema));
  put(folder, "wrong.yml", "task: toy\nbase: {a: 1}\n");
  CHECK_ERROR(MOE_ERR_CONFIG, "base: expected a file name or a list of them, got a map", load(folder, "wrong.yml"));
  put(folder, "broken.yml", "seed: [1\n");
  put(folder, "over.yml", "task: toy\nbase: broken.yml\n");
  CHECK_ERROR(MOE_ERR_PARSE, folder / "broken.yml", load(folder, "over.yml"));
}

static void maps_and_values_do_not_mix(void**) {
  TemporaryFolder folder;
  put(folder, "a.yml", "task: toy\ntrain: {epochs: 3}\nseed: 1\n");
  put(folder, "b.yml", "base: a.yml\ntrain: 5\n");
  put(folder, "c.yml", "base: a.yml\nseed: {a: 1}\n");
  CHECK_ERROR(MOE_ERR_CONFIG, "train: expected a map as in " + folder / "a.yml" + ":2:8, got the value 5",
              load(folder, "b.yml"));
  CHECK_ERROR(MOE_ERR_CONFIG, "seed: expected the value 1 as in " + folder / "a.yml", load(folder, "c.yml"));
}

static void memory_inherits_from_the_folder_of_its_name(void**) {
  TemporaryFolder folder;
  put(folder, "a.yml", "task: toy\nseed: 4\n");
  CHECK(Config::parse("base: a.yml", folder / "memory.yml", toy_schema).integer("seed") == 4);
  CHECK(Config::parse("base: " + folder / "a.yml", "<memory>", toy_schema).integer("seed") == 4);
}

static void a_dump_needs_no_other_file(void**) {
  TemporaryFolder folder;
  put(folder, "a.yml", "task: toy\noptimizer: {groups: {new: {lr: 4}}}\n");
  put(folder, "b.yml", "base: a.yml\noptimizer: {groups: {old: {lr: 1}}}\n");
  const Config config = load(folder, "b.yml");
  put(folder, "other/dump.yml", config.dump(true));
  const Config again = load(folder, "other/dump.yml");
  CHECK(again.dump(false) == config.dump(false));
  CHECK((again.children("optimizer.groups") == std::vector<std::string>{"new", "old"}));
}

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(the_leaf_wins),
      cmocka_unit_test(diamonds_and_chains_are_fine),
      cmocka_unit_test(cycles_print_their_chain),
      cmocka_unit_test(depth_and_number_are_bounded),
      cmocka_unit_test(errors_name_the_file_they_are_in),
      cmocka_unit_test(maps_and_values_do_not_mix),
      cmocka_unit_test(memory_inherits_from_the_folder_of_its_name),
      cmocka_unit_test(a_dump_needs_no_other_file),
  };
  return cmocka_run_group_tests(tests, nullptr, nullptr);
}
