// Runs in a folder: events, files, stop and resume to the bit, and what happens to a run whose disk, folder, settings
// or checkpoints are bad.
#include "support/test.h"
#include "support/tiny.h"

#include <sys/resource.h>
#include <csignal>
#include <map>
#include <memory>
#include <unistd.h>

#include "base/files.h"
#include "data/synth/traffic.h"
#include "train/run.h"

using namespace moe;

static TemporaryFolder* shared_data;

static Config settings(const std::vector<std::pair<std::string, std::string>>& overrides = {}) {
  Config config = tiny::config({{"data.root", *shared_data / "scenes"},
                                {"train.epochs", "2"},
                                {"train.batch_size", "4"},
                                {"train.accumulate", "2"},
                                {"train.log_every", "1"},
                                {"train.checkpoint_every", "2"},
                                {"ema.decay", "0.9"}});
  for (const auto& [key, value] : overrides) config.set(key, value);
  return config;
}

static std::map<RunEvent::Kind, int> drain(Run& run) {
  std::map<RunEvent::Kind, int> kinds;
  RunEvent event;
  while (run.next(event)) ++kinds[event.kind];
  return kinds;
}

static uint64_t whole_digest() {
  static uint64_t digest = 0;
  if (digest) return digest;
  TemporaryFolder folder;
  const Config config = settings();
  Run run(&config, folder / "run", RunMode::fresh, Log());
  drain(run);
  return digest = run.session().digest();
}

static int64_t count_lines(const std::string& path, const std::string& part) {
  int64_t count = 0;
  for (const std::string& line : split(read_file(path), '\n')) count += line.find(part) != std::string::npos;
  return count;
}

// 26 samples in batches of 4: 6 batches an epoch (the incomplete one is dropped), windows of 2: 3 steps.
static void test_events_and_files(void**) {
  TemporaryFolder folder;
  const Config config = settings();
  Run run(&config, folder / "run", RunMode::fresh, Log());
  const auto kinds = drain(run);
  CHECK(kinds.at(RunEvent::Kind::step) == 6);
  CHECK(kinds.at(RunEvent::Kind::epoch) == 2);
  CHECK(kinds.at(RunEvent::Kind::eval) == 2);
  CHECK(kinds.at(RunEvent::Kind::done) == 1);
  RunEvent event;
  CHECK(!run.next(event));
  const std::string path = folder / "run";
  for (const char* name : {"config.yml", "train.log", "metrics.jsonl", "metrics.csv", "checkpoints/best.safetensors",
                           "checkpoints/step-00000006.safetensors"}) {
    CHECK(exists(join_path(path, name)));
  }
  CHECK(list_directory(path + "/checkpoints").size() == 3);  // the best and the last two
  CHECK(count_lines(path + "/metrics.jsonl", "\"event\":\"step\"") == 6);
  CHECK(count_lines(path + "/metrics.jsonl", "\"event\":\"eval\"") == 2);
  CHECK(count_lines(path + "/metrics.jsonl", "\"routing\"") == 10);
  CHECK(count_lines(path + "/metrics.csv", ",") == 7);
  const Config again = Config::load(path + "/config.yml", task_schema);
  CHECK(again.dump(false) == config.dump(false));
}

static void test_stop_and_resume_to_the_bit(void**) {
  TemporaryFolder folder;
  const std::string path = folder / "run";
  int stops = 0;
  for (int attempt = 0; attempt < 20; ++attempt) {
    const Config config = settings({{"data.workers", std::to_string(attempt % 3)}});
    Run run(&config, path, RunMode::automatic, Log());
    RunEvent event;
    bool more = run.next(event);
    run.request_stop();
    if (more) {
      try {
        more = run.next(event);
      } catch (const Error& error) {
        CHECK(error.status() == MOE_ERR_CANCELLED);
        ++stops;
      }
    }
    if (!more || event.kind == RunEvent::Kind::done) break;
  }
  CHECK(stops >= 4);
  Run run(nullptr, path, RunMode::resume, Log());
  drain(run);
  CHECK(run.session().digest() == whole_digest());
  CHECK(count_lines(path + "/metrics.jsonl", "\"event\":\"step\"") == 6);
  CHECK(count_lines(path + "/metrics.csv", ",") == 7);
}

static void test_broken_newest_checkpoint_is_passed_over(void**) {
  TemporaryFolder folder;
  const std::string path = folder / "run";
  const Config config = settings();
  {
    Run run(&config, path, RunMode::fresh, Log());
    RunEvent event;
    while (run.next(event) && run.session().steps() < 5) continue;
  }
  const std::string newest = path + "/checkpoints/step-00000004.safetensors";
  write_file_atomic(newest, read_file(newest).substr(0, 1000));
  std::string warning;
  Run run(&config, path, RunMode::resume, [&](int32_t level, const std::string& line) {
    if (level == MOE_LOG_WARNING) warning = line;
  });
  CHECK(warning.find("passed over a broken checkpoint") != std::string::npos);
  CHECK(run.session().steps() == 3);
  drain(run);
  CHECK(run.session().digest() == whole_digest());
}

static void test_folder_and_settings_are_guarded(void**) {
  TemporaryFolder folder;
  const std::string path = folder / "run";
  const Config config = settings();
  CHECK_ERROR(MOE_ERR_STATE, "expected a run to resume", Run(&config, path, RunMode::resume, Log()));
  auto run = std::make_unique<Run>(&config, path, RunMode::fresh, Log());
  CHECK_ERROR(MOE_ERR_STATE, "in use", Run(&config, path, RunMode::automatic, Log()));
  CHECK_ERROR(MOE_ERR_STATE, "expected a folder without a run", Run(&config, path, RunMode::fresh, Log()));
  const Config other = settings({{"model.queries", "21"}, {"train.epochs", "3"}});
  CHECK_ERROR(MOE_ERR_STATE, "in use", Run(&other, path, RunMode::automatic, Log()));
  drain(*run);
  run.reset();
  CHECK_ERROR(MOE_ERR_CONFIG, "model.queries: the run was made with 20, got 21",
              Run(&other, path, RunMode::automatic, Log()));
  write_file_atomic(folder / "file", "x");
  CHECK_ERROR(MOE_ERR_IO, "file", Run(&config, folder / "file", RunMode::fresh, Log()));
}

// Until the first checkpoint nothing is lost: a wrong setting is corrected in the same folder.
static void test_a_run_that_has_not_begun_takes_other_settings(void**) {
  TemporaryFolder folder;
  const Config config = settings(), other = settings({{"model.queries", "21"}});
  {
    Run(&config, folder / "run", RunMode::fresh, Log());
  }
  Run run(&other, folder / "run", RunMode::automatic, Log());
  drain(run);
  CHECK(Config::load(folder / "run/config.yml", task_schema).integer("model.queries") == 21);
}

static void test_more_epochs_go_on(void**) {
  TemporaryFolder folder;
  const std::string path = folder / "run";
  {
    const Config config = settings({{"train.epochs", "1"}});
    Run run(&config, path, RunMode::fresh, Log());
    drain(run);
  }
  const Config config = settings();
  Run run(&config, path, RunMode::automatic, Log());
  CHECK(run.session().steps() == 3);
  drain(run);
  CHECK(run.session().steps() == 6);
  CHECK(run.session().digest() == whole_digest());
}

// A file size limit stands for a full disk: the write of the checkpoint fails half way.
static void test_full_disk_keeps_older_checkpoints(void**) {
  TemporaryFolder folder;
  const std::string path = folder / "run";
  const Config config = settings();
  {
    Run run(&config, path, RunMode::fresh, Log());
    RunEvent event;
    while (run.next(event) && event.kind != RunEvent::Kind::checkpoint) continue;
    std::signal(SIGXFSZ, SIG_IGN);
    rlimit before{};
    getrlimit(RLIMIT_FSIZE, &before);
    rlimit small = before;
    small.rlim_cur = 100000;
    setrlimit(RLIMIT_FSIZE, &small);
    CHECK_ERROR(MOE_ERR_IO, ".safetensors", while (run.next(event)) continue);
    setrlimit(RLIMIT_FSIZE, &before);
  }
  for (const std::string& name : list_directory(path + "/checkpoints")) CHECK(!name.ends_with(".tmp"));
  Run run(nullptr, path, RunMode::resume, Log());
  CHECK(run.session().steps() == 2);
  drain(run);
  CHECK(run.session().digest() == whole_digest());
}

// A step whose line the log cannot take is an error, and nothing of it is lost.
static void test_full_disk_of_the_log(void**) {
  TemporaryFolder folder;
  const std::string path = folder / "run";
  const Config config = settings();
  {
    Run run(&config, path, RunMode::fresh, Log());
    RunEvent event;
    while (run.next(event) && event.kind != RunEvent::Kind::checkpoint) continue;
    std::signal(SIGXFSZ, SIG_IGN);
    rlimit before{};
    getrlimit(RLIMIT_FSIZE, &before);
    rlimit small = before;
    small.rlim_cur = static_cast<rlim_t>(file_size(path + "/train.log")) + 30;
    setrlimit(RLIMIT_FSIZE, &small);
    CHECK_ERROR(MOE_ERR_IO, "train.log: cannot write", while (run.next(event)) continue);
    setrlimit(RLIMIT_FSIZE, &before);
  }
  Run run(nullptr, path, RunMode::resume, Log());
  drain(run);
  CHECK(run.session().digest() == whole_digest());
}

static void test_another_thread_count_is_told(void**) {
  TemporaryFolder folder;
  const Config config = settings({{"train.max_steps", "1"}});
  {
    Run run(&config, folder / "run", RunMode::fresh, Log());
    drain(run);
  }
  std::vector<std::string> warnings;
  const auto reopen = [&] {
    Run(&config, folder / "run", RunMode::resume, [&](int32_t level, const std::string& line) {
      if (level == MOE_LOG_WARNING) warnings.push_back(line);
    });
  };
  reopen();
  CHECK(warnings.empty());
  at::set_num_threads(1);
  reopen();
  at::set_num_threads(2);
  CHECK(warnings.size() == 1 && warnings[0] == "the run had 2 threads, now 1: results will not be the same bits");
}

static void test_bad_data_gives_one_line(void**) {
  TemporaryFolder folder;
  Config config = settings({{"data.root", folder / "nowhere"}});
  CHECK_ERROR(MOE_ERR_NOT_FOUND, "nowhere", Run(&config, folder / "run", RunMode::fresh, Log()));
  // The folder is usable afterwards.
  config = settings({{"train.epochs", "1"}});
  Run run(&config, folder / "run", RunMode::automatic, Log());
  drain(run);
}

// A folder in the place of the log cannot be written, whoever asks. The lock says that a run was killed there.
static void test_unwritable_log(void**) {
  TemporaryFolder folder;
  const Config config = settings({{"train.epochs", "1"}});
  make_directories(folder / "run/train.log");
  write_file_atomic(folder / "run/.lock", "");
  CHECK_ERROR(MOE_ERR_IO, "train.log: cannot open for appending",
              Run(&config, folder / "run", RunMode::automatic, Log()));
  CHECK(rmdir((folder / "run/train.log").c_str()) == 0);
  Run run(&config, folder / "run", RunMode::automatic, Log());
  drain(run);
}

using Names = std::vector<std::string>;

// A run would cut these logs and overwrite these checkpoints of somebody else, so it does not begin.
static void test_files_of_others_are_left_alone(void**) {
  const Config good = settings(), bad = settings({{"data.root", "nowhere"}});
  for (const std::string name : {"train.log", "metrics.jsonl", "metrics.csv", "checkpoints/step-00000007.safetensors",
                                 "checkpoints/best.safetensors"}) {
    TemporaryFolder folder;
    const std::string own = folder / "own";
    make_directories(own + "/checkpoints");
    write_file_atomic(join_path(own, name), "step,loss\n99,0.5\n");
    const Names before = list_directory(own);
    for (const Config* config : {&good, &bad}) {
      CHECK_ERROR(
          MOE_ERR_STATE,
          own + ": expected an empty or new folder, or one with a run, got one without config.yml that holds " + name,
          Run(config, own, RunMode::automatic, Log()));
      CHECK(read_file(join_path(own, name)) == "step,loss\n99,0.5\n");
      CHECK(list_directory(own) == before);
    }
  }
}

// A run that cannot begin takes away what it has made, and nothing else.
static void test_a_failed_start_removes_its_own_files(void**) {
  TemporaryFolder folder;
  const Config bad = settings({{"data.root", "nowhere"}});
  const auto start = [&](const std::string& path) {
    CHECK_ERROR(MOE_ERR_NOT_FOUND, "nowhere", Run(&bad, path, RunMode::automatic, Log()));
  };
  start(folder / "new");
  CHECK(!exists(folder / "new"));

  make_directories(folder / "own/checkpoints");
  write_file_atomic(folder / "own/notes.txt", "mine");
  start(folder / "own");
  CHECK((list_directory(folder / "own") == Names{"checkpoints", "notes.txt"}));

  // Killed before its config.yml was written: the lock is there, and half a log.
  make_directories(folder / "killed");
  write_file_atomic(folder / "killed/.lock", "");
  write_file_atomic(folder / "killed/metrics.csv", "step,lo");
  start(folder / "killed");
  CHECK((list_directory(folder / "killed") == Names{".lock", "metrics.csv"}));
  const Config good = settings({{"train.max_steps", "1"}});
  Run run(&good, folder / "killed", RunMode::automatic, Log());
  drain(run);
  CHECK(read_file(folder / "killed/metrics.csv").starts_with("step,epoch,loss"));
}

// A run that ends at a broken picture goes on once more of them are allowed.
static void test_broken_pictures_may_be_allowed_later(void**) {
  TemporaryFolder folder;
  const std::string root = folder / "scenes", path = folder / "run";
  CHECK(std::system(("cp -r '" + (*shared_data / "scenes") + "' '" + root + "'").c_str()) == 0);
  for (const char* name : {"000003", "000004", "000005"}) {
    CHECK(truncate((root + "/image/" + name + ".jpg").c_str(), 99) == 0);
  }
  const Config strict = settings({{"data.root", root}, {"train.epochs", "1"}});
  CHECK_ERROR(MOE_ERR_DATA, "expected at most 0 broken samples an epoch, got ",
              Run run(&strict, path, RunMode::fresh, Log());
              drain(run));
  const Config lenient = settings({{"data.root", root}, {"train.epochs", "1"}, {"data.max_broken", "5"}});
  Run run(&lenient, path, RunMode::resume, Log());
  CHECK(drain(run).at(RunEvent::Kind::done) == 1);
}

// Nothing is lost when the folder becomes read-only between two checkpoints, and a run cannot begin in such a folder.
static void test_read_only_folder(void**) {
  TemporaryFolder folder;
  const Config config = settings();
  {
    const ReadOnly nobody_writes(folder.path());
    CHECK_ERROR(MOE_ERR_IO, "run/checkpoints: cannot create the folder: Permission denied",
                Run(&config, folder / "run", RunMode::fresh, Log()));
  }
  Run run(&config, folder / "run", RunMode::fresh, Log());
  RunEvent event;
  while (run.next(event) && event.kind != RunEvent::Kind::checkpoint) continue;
  {
    const ReadOnly nobody_writes(folder / "run/checkpoints");
    CHECK_ERROR(MOE_ERR_IO, ".safetensors.tmp: cannot create: Permission denied", while (run.next(event)) continue);
  }
  drain(run);
  CHECK(run.session().digest() == whole_digest());
}

static void test_early_stop_and_limits(void**) {
  TemporaryFolder folder;
  const Config steps = settings({{"train.max_steps", "4"}});
  Run limited(&steps, folder / "limited", RunMode::fresh, Log());
  drain(limited);
  CHECK(limited.session().steps() == 4);
  CHECK(read_file(folder / "limited/train.log").find(" of training (train.max_steps), best AP") != std::string::npos);
  const Config patient = settings({{"train.epochs", "6"}, {"train.early_stop", "1"}, {"optimizer.lr", "1e-12"}});
  Run early(&patient, folder / "early", RunMode::fresh, Log());
  drain(early);
  CHECK(early.session().steps() < 18);
  CHECK(read_file(folder / "early/train.log").find(" of training (train.early_stop 1, in epoch ") != std::string::npos);
}

int main() {
  at::set_num_threads(2);
  TemporaryFolder data;
  shared_data = &data;
  TrafficOptions options;
  options.train_images = 26;
  options.val_images = 5;
  options.width = 160;
  options.height = 128;
  generate_traffic(data / "scenes", options, Log());
  const CMUnitTest tests[] = {cmocka_unit_test(test_events_and_files),
                              cmocka_unit_test(test_stop_and_resume_to_the_bit),
                              cmocka_unit_test(test_broken_newest_checkpoint_is_passed_over),
                              cmocka_unit_test(test_folder_and_settings_are_guarded),
                              cmocka_unit_test(test_a_run_that_has_not_begun_takes_other_settings),
                              cmocka_unit_test(test_more_epochs_go_on),
                              cmocka_unit_test(test_full_disk_keeps_older_checkpoints),
                              cmocka_unit_test(test_full_disk_of_the_log),
                              cmocka_unit_test(test_another_thread_count_is_told),
                              cmocka_unit_test(test_bad_data_gives_one_line),
                              cmocka_unit_test(test_unwritable_log),
                              cmocka_unit_test(test_files_of_others_are_left_alone),
                              cmocka_unit_test(test_a_failed_start_removes_its_own_files),
                              cmocka_unit_test(test_broken_pictures_may_be_allowed_later),
                              cmocka_unit_test(test_read_only_folder),
                              cmocka_unit_test(test_early_stop_and_limits)};
  return cmocka_run_group_tests_name("run", tests, nullptr, nullptr);
}
