// What the tests of moe.hpp share: checks, a tiny detector, batches of noise for it, and a folder of their own. The
// programs link libmoe.so alone.
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
// clang-format off
extern "C" {
#include <cmocka.h>
}
// clang-format on
#undef fail  // cmocka's macro; std::ios::fail is a function

#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "moe.hpp"

#define CHECK(condition)                                      \
  do {                                                        \
    if (!(condition)) {                                       \
      std::fprintf(stderr, "check failed: %s\n", #condition); \
      _fail(__FILE__, __LINE__);                              \
    }                                                         \
  } while (0)

// The statement must throw moe::Error of this status with one line of text that holds `part`.
template <typename Call>
void expect_error(moe_status want, const std::string& part, const char* file, int line, Call call) {
  std::string got = "no error";
  try {
    call();
  } catch (const moe::Error& error) {
    got = std::string(moe_status_name(error.status())) + ": " + error.what();
    const bool one_line = got.find('\n') == std::string::npos;
    if (error.status() == want && got.find(part) != std::string::npos && one_line) return;
  }
  std::fprintf(stderr, "expected %s with \"%s\", got %s\n", moe_status_name(want), part.c_str(), got.c_str());
  _fail(file, line);
}
#define FAILS(status, part, ...) expect_error((status), (part), __FILE__, __LINE__, [&] { __VA_ARGS__; })

// A fresh folder below /tmp, removed at the end of the scope.
class Folder {
 public:
  Folder() {
    char name[] = "/tmp/moe-cpp-XXXXXX";
    path_ = mkdtemp(name);
  }
  ~Folder() { (void)!std::system(("rm -rf '" + path_ + "'").c_str()); }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

inline moe::Config tiny_config(const std::string& root = "data") {
  return moe::Config::parse(
      "task: rtdetr\n"
      "seed: 7\n"
      "data: {root: '" +
      root +
      "', size: [64, 64], workers: 1}\n"
      "model:\n"
      "  backbone: {width: 0.125}\n"
      "  hidden: 32\n"
      "  heads: 4\n"
      "  encoder: {ffn: 64}\n"
      "  decoder: {layers: 2, ffn: 64}\n"
      "  denoising: {queries: 8}\n"
      "  experts: {kind: class_partitioned, groups: by_complexity, top_k: 2, queries: 12}\n"
      "train: {batch_size: 2, epochs: 2, log_every: 1}\n");
}

// Two images of 64 x 64 in one grey, with one box each.
inline moe::Batch tiny_batch() {
  moe::Batch batch;
  batch.set("images", std::vector<float>(2 * 3 * 64 * 64, 0.5F), {2, 3, 64, 64})
      .set("boxes", std::vector<float>{0.5F, 0.5F, 0.4F, 0.4F, 0.3F, 0.6F, 0.2F, 0.3F}, {2, 4})
      .set("labels", std::vector<std::int64_t>{0, 3}, {2})
      .set("offsets", std::vector<std::int64_t>{0, 1, 2}, {3});
  return batch;
}
