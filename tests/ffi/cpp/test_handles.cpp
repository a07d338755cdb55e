// moe.hpp without a training: handles, errors, views, batches, log functions that throw, two threads at one handle.
#include <array>
#include <atomic>
#include <thread>

#include "support.h"

static_assert(!std::is_copy_constructible_v<moe::Batch> && !std::is_copy_assignable_v<moe::Session>);
static_assert(std::is_nothrow_move_constructible_v<moe::Session> && std::is_nothrow_move_assignable_v<moe::Run>);
static_assert(std::is_base_of_v<std::exception, moe::Error>);
static_assert(moe::dtype_of<long long>() == MOE_I64 && moe::dtype_of<moe::BFloat16>() == MOE_BF16);

static void handles_move_and_close(void**) {
  moe::Batch first = tiny_batch();
  moe::Batch second(std::move(first));
  CHECK(!first.is_open() && second.size() == 4);
  FAILS(MOE_ERR_STATE, "closed or moved from", first.size());
  first = std::move(second);
  CHECK(first.size() == 4 && !second.is_open());
  first.close();
  first.close();
  FAILS(MOE_ERR_STATE, "closed or moved from", first.set("x", std::vector<float>{1}, {1}));
  moe::Session session(tiny_config());
  FAILS(MOE_ERR_STATE, "closed or moved from", session.feed(first));
  session.close();
  FAILS(MOE_ERR_STATE, "closed or moved from", session.step());
  session.request_stop();
  moe::Config config = tiny_config();
  config.close();
  FAILS(MOE_ERR_STATE, "closed or moved from", moe::Session{config});
  FAILS(MOE_ERR_STATE, "closed or moved from", moe::Run(config, "/tmp/moe-cpp-no-run"));
}

static void errors_say_what_and_where(void**) {
  FAILS(MOE_ERR_NOT_FOUND, "nowhere.yml", moe::Config::load("nowhere.yml"));
  try {
    moe::Config::parse("task: rtdetr\noptimizer: {lr: fast}\n", "a.yml");
    CHECK(!"an error");
  } catch (const moe::Error& error) {
    CHECK(error.status() == MOE_ERR_CONFIG && error.line() == 2 && error.column() == 17);
    CHECK(std::string(error.what()) == "a.yml:2:17: optimizer.lr: expected a number > 0, got \"fast\"");
  }
  moe::Config config = tiny_config();
  FAILS(MOE_ERR_CONFIG, "did you mean \"train.epochs\"", config.set("train.epoch", "3"));
  CHECK(config.set("train.epochs", "3").get("train.epochs") == "3" && config.origin("train.epochs") == "override");
  const moe::Config copy = config.clone();
  config.set("train.epochs", "4");
  CHECK(copy.get("train.epochs") == "3" && copy.dump().find("epochs: 3\n") != std::string::npos);
  CHECK(moe::Config::describe("rtdetr").find("`model.experts.top_k`") != std::string::npos);
  CHECK(moe::version() == moe_version_string() && moe::build_info().front() == '{');
}

static void views_check_length_and_strides(void**) {
  moe::Batch batch;
  const std::vector<float> twelve(12);
  FAILS(MOE_ERR_SHAPE, "12 elements, got one of 15", batch.set("x", twelve, {3, 5}));
  FAILS(MOE_ERR_SHAPE, "12 elements, got one of 10", batch.set("x", twelve, {2, 5}));
  FAILS(MOE_ERR_SHAPE, "2^63", batch.set("x", twelve, {1LL << 40, 1LL << 40}));
  FAILS(MOE_ERR_SHAPE, "2^63", batch.set("x", twelve, {-1, 12}));
  FAILS(MOE_ERR_SHAPE, "12 elements, got one of 13", moe::view(twelve, {2, 3}, {7, 1}).raw(),
        moe::view(twelve, {3, 3}, {5, 1}));
  FAILS(MOE_ERR_SHAPE, "at most 8 sizes", batch.set("x", twelve, {1, 1, 1, 1, 1, 1, 1, 1, 12}));
  FAILS(MOE_ERR_SHAPE, "expected 2, one a size, got 1", moe::view(twelve, {3, 4}, {1}));
  FAILS(MOE_ERR_SHAPE, "strides", batch.set("x", moe::View::unchecked(twelve.data() + 11, {12}, {-1})));
  CHECK(batch.size() == 0);

  const std::array<std::int32_t, 6> rows = {1, 2, 3, 4, 5, 6};
  batch.set("columns", moe::view(rows, {3, 2}, {1, 3}));  // the transpose of 2 x 3
  const auto read = batch.read<std::int32_t>("columns");
  CHECK((read.shape == std::vector<std::int64_t>{3, 2} && read.data == std::vector<std::int32_t>{1, 4, 2, 5, 3, 6}));
  batch.set("empty", std::vector<float>{}, {0, 4});
  CHECK(batch.read<float>("empty").data.empty());
}

static void batches_know_their_types(void**) {
  moe::Batch batch;
  const bool flags[] = {true, false, true};
  batch.set("flags", moe::Span<const bool>(flags), {3}).set("half", std::vector<moe::Half>{{0x3C00}}, {1});
  CHECK(batch.info("flags").dtype == MOE_BOOL && batch.info(1).dtype == MOE_F16);
  bool back[3] = {};
  CHECK(batch.read_into("flags", moe::Span<bool>(back)) == 3 && back[0] && !back[1] && back[2]);
  FAILS(MOE_ERR_BUFFER_TOO_SMALL, "3 bytes", batch.read_into("flags", moe::Span<bool>(back, 2)));
  FAILS(MOE_ERR_DTYPE, "half: expected to be read as dtype", batch.read<float>("half"));
  FAILS(MOE_ERR_NOT_FOUND, "nothing", batch.read<float>("nothing"));
  batch.clear();
  CHECK(batch.size() == 0);

  moe::Session session(tiny_config());
  CHECK(session.describe_batch().find("images") != std::string::npos);
  moe::Batch wrong = tiny_batch();
  wrong.set("labels", std::vector<float>{0, 3}, {2});
  FAILS(MOE_ERR_DTYPE, "labels", session.feed(wrong));
  wrong = tiny_batch();
  wrong.set("images", std::vector<float>(2 * 64 * 64), {2, 64, 64});
  FAILS(MOE_ERR_SHAPE, "images", session.feed(wrong));
  FAILS(MOE_ERR_STATE, "", session.step());
}

// A batch's memory goes out as DLPack and into another batch, without a copy, and outlives the first one.
static void dlpack_between_batches(void**) {
  moe::Batch to;
  {
    moe::Batch from = tiny_batch();
    to.bind_dlpack("images", from.export_dlpack("images"));
    FAILS(MOE_ERR_NOT_FOUND, "nothing", from.export_dlpack("nothing"));
    from.export_dlpack("boxes");  // nobody takes it: its deleter runs
    moe::Batch closed;
    closed.close();
    FAILS(MOE_ERR_STATE, "closed", closed.bind_dlpack("boxes", from.export_dlpack("boxes")));
  }
  CHECK(to.read<float>("images").data[2 * 3 * 64 * 64 - 1] == 0.5F);
}

struct Stop {};

// The exception of a log function waits until the C call has returned; the handle works on.
static void exceptions_of_log_functions(void**) {
  const Folder folder;
  moe_generate_options options = MOE_GENERATE_OPTIONS_INIT;
  options.train_images = 2;
  options.val_images = 2;
  options.width = options.height = 96;
  int lines = 0;
  bool thrown = false;
  try {
    moe::generate("traffic", folder / "data", options, [&](std::int32_t, std::string_view) {
      ++lines;
      throw Stop();
    });
  } catch (const Stop&) {
    thrown = true;
  }
  CHECK(thrown && lines == 1);
  FAILS(MOE_ERR_STATE, "data", moe::generate("traffic", folder / "data", options));

  moe::Loader loader(tiny_config(folder / "data"), "val");
  thrown = false;
  try {
    loader.on_log([](std::int32_t, std::string_view) { throw Stop(); });
  } catch (const Stop&) {
    thrown = true;
  }
  CHECK(thrown && loader.samples() == 2 && loader.batches() == 1 && loader.broken() == 0);
  moe::Loader other(tiny_config(folder / "data"), "val");
  FAILS(MOE_ERR_STATE, "in a call", other.on_log([&](std::int32_t, std::string_view) { other.close(); }));
  int seen = 0;
  for (const moe::Batch& batch : loader.epoch()) seen += static_cast<int>(batch.info("images").shape[0]);
  CHECK(seen == 2);
}

// While one thread trains, the others get an Error; every step counts, none is lost.
static void two_threads_at_one_handle(void**) {
  moe::Session session(tiny_config());
  const moe::Batch batch = tiny_batch();
  std::atomic<bool> done{false};
  std::atomic<int> refused{0};
  std::thread other([&] {
    while (!done) {
      try {
        session.layers();
      } catch (const moe::Error& error) {
        if (error.status() == MOE_ERR_STATE) ++refused;
      }
    }
  });
  int steps = 0;
  for (int tries = 0; steps < 3 && tries < 100000; ++tries) {
    try {
      session.feed(batch);
      session.step();
      ++steps;
    } catch (const moe::Error& error) {
      if (error.status() != MOE_ERR_STATE) done = true;
    }
  }
  done = true;
  other.join();
  CHECK(steps == 3 && refused > 0 && session.get("state.step") == "3");
}

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(handles_move_and_close),         cmocka_unit_test(errors_say_what_and_where),
      cmocka_unit_test(views_check_length_and_strides), cmocka_unit_test(batches_know_their_types),
      cmocka_unit_test(dlpack_between_batches),         cmocka_unit_test(exceptions_of_log_functions),
      cmocka_unit_test(two_threads_at_one_handle),
  };
  return cmocka_run_group_tests_name("handles", tests, nullptr, nullptr);
}
