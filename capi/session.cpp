// moe_session: the training transaction.
#include "train/session.h"

#include <cmath>

#include "buffers.h"
#include "guard.h"
#include "handles.h"
#include "metrics.h"
#include "train/picture.h"

using namespace moe;
using namespace moe::capi;

static moe_session* wrap(std::unique_ptr<Session> owned) {
  Session* session = owned.get();
  return new moe_session{std::move(owned), session};
}

static Log session_log(const moe_session_options* options) {
  const moe_session_options read = read_struct(options, "options", moe_session_options MOE_SESSION_OPTIONS_INIT);
  check(read.reserved == 0, MOE_ERR_INVALID_ARGUMENT, "options.reserved: expected 0, got ", read.reserved);
  return make_log(read.log_fn, read.log_user);
}

// Up to 16 terms by name; of more, the 16th is the sum of the rest, so that the entries always add up to the loss.
static void write_terms(const StepInfo& step, moe_step_info& info) {
  constexpr size_t limit = sizeof(info.loss_value) / sizeof(info.loss_value[0]);
  info.loss_count = static_cast<int32_t>(std::min(step.terms.size(), limit));
  for (size_t i = 0; i < step.terms.size(); ++i) {
    const auto& [name, value] = step.terms[i];
    const size_t slot = std::min(i, limit - 1);
    info.loss_value[slot] += value;
    write_name(info.loss_name[slot], i >= limit ? "other" : name);
  }
}

static moe_step_info step_info(const StepInfo& step) {
  moe_step_info info;
  moe_step_info_init(&info);
  info.micro_batches = static_cast<int32_t>(step.micro_batches);
  info.step = step.step;
  info.samples = step.samples;
  info.loss = step.loss;
  info.grad_norm = step.grad_norm;
  info.lr = step.rates.empty() ? 0.0 : step.rates.front().second;
  info.seconds = step.seconds;
  info.skipped = step.skipped;
  write_terms(step, info);
  return info;
}

// An evaluation takes minutes: that its numbers fit is known before it begins, from an evaluator that has seen nothing.
static std::vector<moe_metric> evaluate(Session& session, Loader& loader, const moe_metric* metrics, size_t capacity,
                                        size_t* count) {
  const size_t size = session.task().evaluator()->finish().size();
  if (!wants(metrics, capacity, size, count, "elements")) return {};
  return public_metrics(session.evaluate(loader));
}

static void draw(const Session& session, const Batch& batch, const Batch& prediction, int64_t index, double min_score,
                 const std::string& path) {
  check_batch(session.task().batch_spec(), batch, false);
  session.task().check(batch);
  const int64_t size = batch_size(session.task().batch_spec(), batch);
  check(index >= 0 && index < size, MOE_ERR_INVALID_ARGUMENT, "index: expected 0 to ", size - 1, ", got ", index);
  check(!std::isnan(min_score), MOE_ERR_INVALID_ARGUMENT, "min_score: expected a number, got NaN");
  write_png(path, image_of(session.task().draw(batch, prediction, index, min_score)));
}

extern "C" {

void moe_step_info_init(moe_step_info* info) {
  if (!info) return;
  *info = {};
  info->struct_size = sizeof(moe_step_info);
}

moe_status moe_session_create(const moe_config* config, const moe_session_options* options, moe_session** out) {
  return guard([&] {
    require(config, "config");
    require(out, "out");
    *out = wrap(std::make_unique<Session>(config->config, session_log(options)));
  });
}

moe_status moe_session_open(const char* path, const moe_session_options* options, moe_session** out) {
  return guard([&] {
    const std::string file(required_text(path, "path"));
    require(out, "out");
    *out = wrap(Session::open(file, session_log(options)));
  });
}

moe_status moe_session_config(const moe_session* session, moe_config** out) {
  return guard([&] {
    require(session, "session");
    require(out, "out");
    *out = new moe_config{session->session->config()};
  });
}

moe_status moe_session_describe_batch(const moe_session* session, char* buffer, size_t capacity, size_t* needed) {
  return guard([&] {
    require(session, "session");
    write_text(describe(session->session->task().batch_spec()), buffer, capacity, needed);
  });
}

moe_status moe_session_feed(moe_session* session, const moe_batch* batch) {
  return guard([&] {
    require(session, "session");
    require(batch, "batch");
    session->session->feed(batch->batch);
  });
}

moe_status moe_session_step(moe_session* session, moe_step_info* out) {
  return guard([&] {
    require(session, "session");
    if (out) require_struct(out, "out");
    const StepInfo step = session->session->step();
    if (out) write_struct(step_info(step), out);
  });
}

moe_status moe_session_discard(moe_session* session) {
  return guard([&] {
    require(session, "session");
    session->session->discard();
  });
}

moe_status moe_session_predict(moe_session* session, const moe_batch* batch, moe_batch* out) {
  return guard([&] {
    require(session, "session");
    require(batch, "batch");
    require(out, "out");
    out->batch = session->session->predict(batch->batch);
  });
}

moe_status moe_session_evaluate(moe_session* session, moe_loader* loader, moe_metric* metrics, size_t capacity,
                                size_t* count) {
  return guard([&] {
    require(session, "session");
    require(loader, "loader");
    const std::vector<moe_metric> values = evaluate(*session->session, loader->loader, metrics, capacity, count);
    if (metrics) write_array(values, metrics, capacity, count);
  });
}

moe_status moe_session_draw(moe_session* session, const moe_batch* batch, const moe_batch* prediction, int64_t index,
                            double min_score, const char* path) {
  return guard([&] {
    require(session, "session");
    require(batch, "batch");
    require(prediction, "prediction");
    draw(*session->session, batch->batch, prediction->batch, index, min_score,
         std::string(required_text(path, "path")));
  });
}

moe_status moe_session_save(moe_session* session, const char* path) {
  return guard([&] {
    require(session, "session");
    session->session->save(std::string(required_text(path, "path")));
  });
}

moe_status moe_session_export(moe_session* session, const char* format, const char* path) {
  return guard([&] {
    require(session, "session");
    const std::string name(required_text(format, "format"));
    session->session->export_weights(name, std::string(required_text(path, "path")));
  });
}

moe_status moe_session_load(moe_session* session, const char* path) {
  return guard([&] {
    require(session, "session");
    session->session->load(std::string(required_text(path, "path")));
  });
}

moe_status moe_session_get(const moe_session* session, const char* key, char* buffer, size_t capacity, size_t* needed) {
  return guard([&] {
    require(session, "session");
    write_text(session->session->get(std::string(required_text(key, "key"))), buffer, capacity, needed);
  });
}

moe_status moe_session_set(moe_session* session, const char* key, const char* value) {
  return guard([&] {
    require(session, "session");
    const std::string path(required_text(key, "key"));
    require(value, "value");
    session->session->set(path, value);
  });
}

// No guard: a signal handler may call this, so it touches one atomic and nothing else.
moe_status moe_session_request_stop(moe_session* session) {
  if (!session) return record(MOE_ERR_INVALID_ARGUMENT, "session: expected a pointer, got NULL");
  session->session->request_stop();
  return MOE_OK;
}

void moe_session_free(moe_session* session) {
  if (session && session->owned) destroy(session);
}

}  // extern "C"
