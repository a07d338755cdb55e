// moe.hpp around a whole training: run events as a range, the run's session, stop and resume, evaluation, pictures,
// checkpoints and the tables of the experts.
#include <cmath>
#include <thread>

#include "support.h"

static Folder* folder;
static std::string data;

static int set_up(void**) {
  folder = new Folder;
  data = *folder / "data";
  moe_generate_options options = MOE_GENERATE_OPTIONS_INIT;
  options.train_images = 6;
  options.val_images = 3;
  options.width = 160;
  options.height = 96;
  moe::generate("traffic", data, options);
  return 0;
}

static int tear_down(void**) {
  delete folder;
  return 0;
}

static std::string finish(moe::Run& run) {
  int done = 0;
  for (const moe_run_event& event : run.events()) done += event.kind == MOE_EVENT_DONE;
  CHECK(done == 1);
  return run.session().get("state.digest");
}

static void a_stopped_run_ends_with_the_same_bits(void**) {
  const moe::Config config = tiny_config(data);
  moe::Run whole(config, *folder / "whole");
  const std::string want = finish(whole);
  FAILS(MOE_ERR_STATE, "whole", moe::Run(config, *folder / "whole"));
  {
    moe::Run parts(config, *folder / "parts", MOE_RUN_NEW);
    moe_run_event event = MOE_RUN_EVENT_INIT;
    CHECK(parts.next(event) && event.kind == MOE_EVENT_STEP && event.step == 1);
    std::thread([&] { parts.request_stop(); }).join();
    FAILS(MOE_ERR_CANCELLED, "", while (parts.next(event)){});
  }
  moe::Run rest = moe::Run::resume(*folder / "parts");
  CHECK(finish(rest) == want && want.size() == 16);
  moe::Session of_run = rest.session();
  of_run.close();  // only forgets it
  CHECK(rest.session().get("state.digest") == want);
}

// Thrown while the run is opened, it leaves the folder free; later, the loop goes on where it was.
static void log_functions_that_throw(void**) {
  const moe::Config config = tiny_config(data);
  int thrown = 0;
  bool armed = true;
  const auto log = [&](std::int32_t, std::string_view) {
    if (armed) throw std::string("stop");
  };
  try {
    moe::Run(config, *folder / "log", MOE_RUN_AUTO, log);
  } catch (const std::string&) {
    ++thrown;
  }
  armed = false;
  moe::Run run(config, *folder / "log", MOE_RUN_AUTO, log);
  armed = true;
  bool complete = false;
  for (int tries = 0; tries < 1000 && !complete; ++tries) {
    try {
      moe_run_event event = MOE_RUN_EVENT_INIT;
      complete = !run.next(event);
    } catch (const std::string&) {
      ++thrown;
    }
  }
  CHECK(complete && thrown > 0 && run.session().get("state.step") == "6");
}

static void a_session_of_one_s_own(void**) {
  moe::Session session(tiny_config(data));
  moe::Loader train(session.config(), "train"), val(session.config(), "val");
  for (const moe::Batch& batch : train.epoch()) {
    session.feed(batch);
    const moe_step_info step = session.step();
    CHECK(step.micro_batches == 1 && step.samples == 2 && std::isfinite(step.loss));
  }
  const std::vector<moe_metric> metrics = session.evaluate(val);
  CHECK(!metrics.empty() && std::string(metrics[0].name) == "AP");

  session.save(*folder / "a.safetensors");
  moe::Session again(*folder / "a.safetensors");
  CHECK(again.get("state.digest") == session.get("state.digest"));
  FAILS(MOE_ERR_NOT_FOUND, "nothing", again.load(*folder / "nothing"));
  again.set("optimizer.groups.default.lr", "0.5");
  CHECK(again.get("optimizer.groups.default.lr") == "0.5");

  moe::Loader files(session.config(), std::vector<std::string>{val.file_name(train.samples())});
  moe::Batch picture;
  CHECK(files.next(picture) && picture.info("images").shape[0] == 1);
  const moe::Batch found = session.predict(picture);
  CHECK(found.read<float>("boxes").shape[1] == 4 && found.read<std::int64_t>("offsets").data.size() == 2);
  session.draw(picture, found, 0, 0.3, *folder / "found.png");
  FAILS(MOE_ERR_INVALID_ARGUMENT, "index", session.draw(picture, found, 7, 0.3, *folder / "none.png"));
}

static void tables_of_the_experts(void**) {
  moe::Session session(tiny_config());
  session.feed(tiny_batch());
  session.step();
  CHECK(session.layers() == 1 && session.layer(0).experts == 3 && session.expert_name(0, 0) == "vehicles");
  const auto stats = session.expert_stats(0, MOE_WINDOW_LAST_STEP);
  const moe_layer_stat layer = session.layer_stats(0, MOE_WINDOW_LAST_STEP);
  std::int64_t tokens = 0, pairs = 0;
  for (const moe_expert_stat& stat : stats) tokens += stat.tokens;
  for (const std::int64_t count : session.coactivation(0, MOE_WINDOW_LAST_STEP)) pairs += count;
  CHECK(stats.size() == 3 && tokens == layer.assignments && layer.tokens == 2 && pairs == 2 * 2 * 2);
  CHECK(session.class_routing(0, MOE_WINDOW_LAST_STEP).size() == 6 * 3);
  session.stats_reset();
  CHECK(session.layer_stats(0, MOE_WINDOW_SINCE_RESET).tokens == 0);
  FAILS(MOE_ERR_INVALID_ARGUMENT, "layer", session.layer(1));
  FAILS(MOE_ERR_INVALID_ARGUMENT, "window", session.expert_stats(0, 9));
}

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(a_stopped_run_ends_with_the_same_bits),
      cmocka_unit_test(log_functions_that_throw),
      cmocka_unit_test(a_session_of_one_s_own),
      cmocka_unit_test(tables_of_the_experts),
  };
  return cmocka_run_group_tests_name("training", tests, set_up, tear_down);
}
