// Fails the n-th tensor allocation of a training step, for n spread over the whole step and dense at both ends. Every
// failed step must leave weights, buffers, optimizer, averages, statistics and counters byte for byte as they were, and
// the step after it must give the bits of a session that never failed. The last allocations lie just before the commit.
#include "support/fail_alloc.h"
#include "support/test.h"
#include "support/tiny.h"

#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "train/session.h"

using namespace moe;

static std::unique_ptr<Session> make() {
  return std::make_unique<Session>(tiny::config({{"ema.decay", "0.9"}, {"model.decoder.layers", "1"}}), Log());
}

static Batch window_batch() {
  return tiny::batch(5, {2, 1});
}

static std::string state_of(Session& session) {
  std::string out = session.get("state.digest") + "/" + session.get("state.step") + "/" + session.get("state.samples");
  for (const RoutingStats* stats : session.routing()) {
    for (const int64_t count : stats->save_counts()) out += "," + std::to_string(count);
    for (const double sum : stats->save_sums()) out += "," + format_double(sum);
  }
  return out;
}

static bool step_survives(Session& session, int64_t nth) {
  session.feed(window_batch());
  fail_alloc::start(fail_alloc::tensors, nth);
  bool good = true;
  try {
    session.step();
  } catch (const std::exception&) {
    good = false;
  }
  fail_alloc::stop();
  return good;
}

static int64_t allocations_of_a_step() {
  const auto session = make();
  session->feed(window_batch());
  session->step();
  session->feed(window_batch());
  fail_alloc::start(fail_alloc::tensors);
  session->step();
  return fail_alloc::stop();
}

// LibTorch itself gets over a few failed allocations by another route; such a step is a whole step and is taken back
// here.
struct Outcome {
  int64_t failed = 0;
  int64_t survived = 0;
};

static void fail_one(Session& session, int64_t nth, const std::string& before, const std::string& checkpoint,
                     Outcome& outcome) {
  if (step_survives(session, nth)) {
    ++outcome.survived;
    CHECK(session.steps() == 2);
    session.load(checkpoint);
  } else {
    ++outcome.failed;
  }
  CHECK(session.queued() == 0);
  if (state_of(session) == before) return;
  std::fprintf(stderr, "allocation %ld left a trace\n", static_cast<long>(nth));
  CHECK(false);
}

static void test_every_part_of_a_step(void**) {
  TemporaryFolder folder;
  const int64_t count = allocations_of_a_step();
  CHECK(count > 100);
  const auto session = make(), twin = make();
  for (const auto& each : {session.get(), twin.get()}) {
    each->feed(window_batch());
    each->step();
  }
  const std::string before = state_of(*session), checkpoint = folder / "before.safetensors";
  session->save(checkpoint);
  Outcome outcome;
  for (int64_t nth = 1; nth <= count; nth += nth < 20 || nth > count - 30 ? 1 : std::max<int64_t>(1, count / 60)) {
    fail_one(*session, nth, before, checkpoint, outcome);
  }
  std::printf("%ld allocations failed the step, %ld did not, of %ld in a step\n", static_cast<long>(outcome.failed),
              static_cast<long>(outcome.survived), static_cast<long>(count));
  CHECK(outcome.failed > 9 * outcome.survived);
  for (const auto& each : {session.get(), twin.get()}) {
    each->feed(window_batch());
    each->step();
  }
  CHECK(state_of(*session) == state_of(*twin));
}

// Failing while a prediction or a checkpoint is made changes nothing either.
static void test_prediction_and_checkpoint(void**) {
  TemporaryFolder folder;
  const auto session = make();
  session->feed(window_batch());
  session->step();
  const std::string before = state_of(*session);
  for (const int64_t nth : {1, 2, 7, 50, 200}) {
    fail_alloc::start(fail_alloc::tensors, nth);
    bool failed = false;
    try {
      session->predict(window_batch());
    } catch (const std::exception&) {
      failed = true;
    }
    fail_alloc::stop();
    CHECK(failed || nth > 50);
    CHECK(state_of(*session) == before);
  }
  session->save(folder / "c.safetensors");
  session->load(folder / "c.safetensors");
  CHECK(state_of(*session) == before);
}

// Any allocation, operator new included, in a process of its own: inside LibTorch it may stand in a noexcept function,
// which ends the process. Returns the exit status: 0 when the step failed and left no trace.
static int fail_any(int64_t nth) {
  at::set_num_threads(1);
  const auto session = make();
  session->feed(window_batch());
  session->step();
  const std::string before = state_of(*session);
  session->feed(window_batch());
  fail_alloc::start(fail_alloc::everything, nth);
  try {
    session->step();
    return 2;
  } catch (const std::exception&) {
    fail_alloc::stop();
  }
  return state_of(*session) == before && session->queued() == 0 ? 0 : 1;
}

static void test_any_allocation(void**) {
  int left_no_trace = 0;
  for (const int64_t nth : {1, 2, 3, 10, 40, 150, 1000, 5000}) {
    const pid_t child = fork();
    if (child == 0) _exit(fail_any(nth));
    int status = 0;
    CHECK(waitpid(child, &status, 0) == child);
    const bool ended = WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
    if (!ended) CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    left_no_trace += !ended;
  }
  std::printf("%d of 8 steps without memory failed and left no trace\n", left_no_trace);
  CHECK(left_no_trace >= 5);
}

int main() {
  at::set_num_threads(2);
  const CMUnitTest tests[] = {cmocka_unit_test(test_any_allocation),  // first: no thread may run before fork
                              cmocka_unit_test(test_every_part_of_a_step),
                              cmocka_unit_test(test_prediction_and_checkpoint)};
  return cmocka_run_group_tests_name("step_faults", tests, nullptr, nullptr);
}
