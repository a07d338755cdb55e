// The loader: the same bits with any number of workers, exact seek, broken samples in order, errors where they belong.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <pthread.h>
#include <signal.h>

#include <atomic>
#include <chrono>
#include <set>
#include <system_error>
#include <thread>

#include "data/data_support.h"

using namespace moe;

// Samples that are numbers: {index, 64 random bits of its stream}. Some are broken; loading takes unequal time.
class NumberSource : public Source {
 public:
  explicit NumberSource(int64_t size, std::set<int64_t> broken = {}) : size_(size), broken_(std::move(broken)) {}
  int64_t size() const override { return size_; }
  BatchSpec spec() const override {
    return {{"values", at::kLong, {2}, FieldSpec::Layout::dense, "", false, false, ""}};
  }
  Batch load(int64_t index, Rng rng) const override {
    std::this_thread::sleep_for(std::chrono::microseconds(100 * (index * 7 % 5)));
    check(broken_.count(index) == 0, MOE_ERR_DATA, "file", index, ": broken");
    check(index != fatal, MOE_ERR_INTERNAL, "defect at ", index);
    threads_at_work = std::max<int>(threads_at_work, at::get_num_threads());
    Batch batch;
    batch.set("values", at::tensor({index, static_cast<int64_t>(rng.next() >> 1)}, at::kLong));
    return batch;
  }
  std::string file_name(int64_t index) const override { return "file" + std::to_string(index); }
  int64_t image_id(int64_t index) const override { return index; }
  std::vector<std::string> class_names() const override { return {}; }

  std::atomic<int64_t> fatal{-1};
  std::vector<Note> take_notes() const override { return std::exchange(notes, {}); }

  mutable std::atomic<int> threads_at_work{0};
  mutable std::vector<Note> notes;

 private:
  int64_t size_;
  std::set<int64_t> broken_;
};

static LoaderOptions options(bool training, int64_t workers) {
  LoaderOptions options;
  options.batch_size = 4;
  options.shuffle = options.replace_broken = training;
  options.workers = workers;
  options.seed = 11;
  options.max_broken = 100;
  return options;
}

// Every batch of `epochs` epochs, an empty tensor at the end of each.
static std::vector<at::Tensor> drain(Loader& loader, int64_t epochs) {
  std::vector<at::Tensor> out;
  for (int64_t ends = 0; ends < epochs;) {
    const auto batch = loader.next();
    out.push_back(batch ? batch->get("values") : at::empty({0}, at::kLong));
    ends += !batch;
  }
  return out;
}

static bool equal(const std::vector<at::Tensor>& a, const std::vector<at::Tensor>& b) {
  return a.size() == b.size() &&
         std::equal(a.begin(), a.end(), b.begin(), [](const auto& x, const auto& y) { return at::equal(x, y); });
}

static void test_workers_change_nothing(void**) {
  for (const bool training : {false, true}) {
    const auto source = std::make_shared<NumberSource>(30, std::set<int64_t>{3, 17});
    Loader reference(source, options(training, 0), {});
    const auto want = drain(reference, 3);
    for (const int64_t workers : {1, 3}) {
      for (const int64_t prefetch : {1, 5}) {
        LoaderOptions changed = options(training, workers);
        changed.prefetch = prefetch;
        Loader loader(source, changed, {});
        CHECK(equal(drain(loader, 3), want));
        CHECK(loader.broken() == reference.broken() && loader.broken() >= 4);
      }
    }
  }
}

static void test_epochs(void**) {
  Loader loader(std::make_shared<NumberSource>(30), options(true, 2), {});
  CHECK(loader.batches() == 7 && loader.samples() == 30);
  const auto first = drain(loader, 1), second = drain(loader, 1);
  CHECK(first.size() == 8 && loader.epoch() == 2 && loader.position() == 0);
  CHECK(!equal(first, second));
  std::set<int64_t> seen;
  for (const at::Tensor& batch : first) {
    for (int64_t i = 0; i < batch.size(0); ++i) seen.insert(batch[i][0].item<int64_t>());
  }
  CHECK(seen.size() == 28);
  Loader val(std::make_shared<NumberSource>(30), options(false, 2), {});
  CHECK(val.batches() == 8 && drain(val, 1)[7].size(0) == 2);
  Loader few(std::make_shared<NumberSource>(3), options(true, 1), {});
  CHECK(few.batches() == 1 && few.next()->get("values").size(0) == 3 && !few.next());
}

static void test_seek_is_exact(void**) {
  const auto source = std::make_shared<NumberSource>(30, std::set<int64_t>{5});
  Loader reference(source, options(true, 1), {});
  const auto all = drain(reference, 3);
  for (const int64_t workers : {0, 2}) {
    Loader loader(source, options(true, workers), {});
    loader.next();
    for (const auto& [epoch, batch] : std::vector<std::pair<int64_t, int64_t>>{{1, 3}, {0, 0}, {2, 7}, {0, 6}}) {
      loader.seek(epoch, batch);
      CHECK(loader.epoch() == epoch && loader.position() == batch);
      for (size_t i = static_cast<size_t>(epoch * 8 + batch); i < all.size(); ++i) {
        const auto got = loader.next();
        CHECK(at::equal(got ? got->get("values") : at::empty({0}, at::kLong), all[i]));
      }
    }
  }
  CHECK_ERROR(MOE_ERR_INVALID_ARGUMENT, "batch 8 of epoch 0", reference.seek(0, 8));
}

static void test_left_out_in_evaluation(void**) {
  Loader loader(std::make_shared<NumberSource>(10, std::set<int64_t>{1, 4, 5, 6, 7}), options(false, 2), {});
  CHECK(loader.next()->get("values").size(0) == 3);
  CHECK(loader.next()->get("values").select(1, 0).equal(at::tensor({8, 9}, at::kLong)));  // the second batch is empty
  CHECK(!loader.next() && loader.broken() == 5);
}

static void test_notes_wait_for_a_log(void**) {
  const auto source = std::make_shared<NumberSource>(12);
  source->notes = {{MOE_LOG_WARNING, "odd annotation"}};
  Loader loader(source, options(false, 0), Log());
  loader.next();
  std::vector<std::string> lines;
  const Log log = [&](int32_t, const std::string& line) { lines.push_back(line); };
  loader.set_log(log);
  loader.set_log(log);
  CHECK(lines == std::vector<std::string>({"odd annotation"}));
}

static void test_broken_lines_come_on_the_calling_thread_in_order(void**) {
  std::vector<std::string> lines;
  const std::thread::id caller = std::this_thread::get_id();
  const Log log = [&](int32_t level, const std::string& line) {
    CHECK(std::this_thread::get_id() == caller && level == MOE_LOG_WARNING);
    lines.push_back(line);
  };
  Loader loader(std::make_shared<NumberSource>(12, std::set<int64_t>{2, 5, 9}), options(false, 3), log);
  loader.next();
  CHECK(lines.size() == 1 && lines[0] == "broken sample left out: file2: broken");
  drain(loader, 1);
  CHECK(lines.size() == 3 && lines[2] == "broken sample left out: file9: broken");
}

static void test_limit(void**) {
  for (const int64_t workers : {0, 3}) {
    LoaderOptions limited = options(false, workers);
    limited.max_broken = 1;
    Loader loader(std::make_shared<NumberSource>(20, std::set<int64_t>{1, 9}), limited, {});
    CHECK(loader.next() && loader.next());
    const auto again = [&] { loader.next(); };
    CHECK_ERROR(MOE_ERR_DATA, "at most 1 broken samples an epoch, got 2 in epoch 1, the last: file9: broken", again());
    CHECK_ERROR(MOE_ERR_DATA, "at most 1 broken samples an epoch, got 2 in epoch 1, the last: file9: broken", again());
    CHECK(loader.broken() == 1 && loader.position() == 2);
    loader.seek(0, 3);
    CHECK(loader.next()->get("values")[0][0].item<int64_t>() == 12);
  }
}

static void test_other_errors_travel_in_order(void**) {
  for (const int64_t workers : {0, 3}) {
    const auto source = std::make_shared<NumberSource>(20);
    source->fatal = 9;
    Loader loader(source, options(false, workers), {});
    CHECK(loader.next() && loader.next());
    CHECK_ERROR(MOE_ERR_INTERNAL, "defect at 9", loader.next());
    source->fatal = -1;
    CHECK(loader.next()->get("values")[1][0].item<int64_t>() == 9);
  }
}

static void test_nothing_readable(void**) {
  Loader loader(std::make_shared<NumberSource>(4, std::set<int64_t>{0, 1, 2, 3}), options(true, 1), {});
  CHECK_ERROR(MOE_ERR_DATA, "got 17 broken ones in a row, the last: file", loader.next());
  CHECK_ERROR(MOE_ERR_DATA, "expected at least one sample",
              Loader(std::make_shared<NumberSource>(0), options(true, 1), {}));
}

static void test_workers_leave_the_thread_count_alone(void**) {
  const int before = at::get_num_threads();
  const auto source = std::make_shared<NumberSource>(8);
  Loader loader(source, options(false, 2), {});
  drain(loader, 1);
  CHECK(source->threads_at_work == 1 && at::get_num_threads() == before);
}

static sigset_t signal_mask() {
  sigset_t mask;
  pthread_sigmask(SIG_SETMASK, nullptr, &mask);
  return mask;
}

// A stack larger than the address space: no thread can start.
static void test_threads_that_cannot_start(void**) {
  pthread_attr_t before, huge;
  CHECK(pthread_getattr_default_np(&before) == 0 && pthread_getattr_default_np(&huge) == 0);
  CHECK(pthread_attr_setstacksize(&huge, size_t{1} << 47) == 0 && pthread_setattr_default_np(&huge) == 0);
  Loader loader(std::make_shared<NumberSource>(20), options(false, 2), {});
  bool refused = false;
  try {
    loader.next();
  } catch (const std::system_error&) {
    refused = true;
  }
  CHECK(pthread_setattr_default_np(&before) == 0 && refused);
  const sigset_t mask = signal_mask();
  CHECK(!sigismember(&mask, SIGINT) && !sigismember(&mask, SIGTERM));
  CHECK(drain(loader, 1).size() == 6);
}

static void test_broken_pictures_in_training(void**) {
  const TinyDair set(8);
  const std::string png = read_file(set.file("image/000002.png"));
  set.write("image/000002.png", png.substr(0, png.size() / 2));
  set.write("image/000005.png", "");
  const auto run = [&](const char* workers, const char* limit) {
    const Config config = set.config({{"data.workers", workers}, {"data.max_broken", limit}});
    return std::make_unique<Loader>(open_source(config, "train"), loader_options(config, true), Log());
  };
  const auto a = run("0", "20"), b = run("3", "20");
  for (int i = 0; i < 3; ++i) {
    const auto x = a->next(), y = b->next();
    CHECK(x.has_value() == y.has_value());
    if (x) CHECK(at::equal(x->get("images"), y->get("images")) && at::equal(x->get("boxes"), y->get("boxes")));
  }
  CHECK(a->broken() >= 2 && a->broken() == b->broken());
  const auto strict = run("1", "0");
  CHECK_ERROR(MOE_ERR_DATA, "at most 0 broken samples an epoch, got 1 in epoch 1, the last: ", strict->next(),
              strict->next());
}

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(test_workers_change_nothing),
      cmocka_unit_test(test_epochs),
      cmocka_unit_test(test_seek_is_exact),
      cmocka_unit_test(test_left_out_in_evaluation),
      cmocka_unit_test(test_notes_wait_for_a_log),
      cmocka_unit_test(test_broken_lines_come_on_the_calling_thread_in_order),
      cmocka_unit_test(test_limit),
      cmocka_unit_test(test_other_errors_travel_in_order),
      cmocka_unit_test(test_nothing_readable),
      cmocka_unit_test(test_workers_leave_the_thread_count_alone),
      cmocka_unit_test(test_threads_that_cannot_start),
      cmocka_unit_test(test_broken_pictures_in_training),
  };
  return cmocka_run_group_tests(tests, nullptr, nullptr);
}
