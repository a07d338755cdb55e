// CMocka for C++ tests: the four includes it wants, near-equality, and a check that a call throws the expected Error.
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
#undef fail  // cmocka's macro; moe::fail and std::ios::fail are functions

#include <sys/stat.h>
#include <unistd.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "base/error.h"

// |got - want| <= tolerance * max(1, |want|)
inline void check_near(double got, double want, double tolerance, const char* what, const char* file, int line) {
  if (std::abs(got - want) <= tolerance * std::fmax(1.0, std::abs(want))) return;
  std::fprintf(stderr, "%s: got %.12g, expected %.12g (tolerance %g)\n", what, got, want, tolerance);
  _fail(file, line);
}
#define CHECK_NEAR(got, want, tolerance) check_near((got), (want), (tolerance), #got, __FILE__, __LINE__)

#undef CHECK  // the logging macro of torch's headers
#define CHECK(condition)                                      \
  do {                                                        \
    if (!(condition)) {                                       \
      std::fprintf(stderr, "check failed: %s\n", #condition); \
      _fail(__FILE__, __LINE__);                              \
    }                                                         \
  } while (0)

// The call must throw moe::Error with this status, and its text must contain the part.
template <typename Call>
void check_error(moe_status status, const std::string& part, const char* file, int line, Call call) {
  try {
    call();
  } catch (const moe::Error& error) {
    const bool found = std::string(error.what()).find(part) != std::string::npos;
    const bool one_line = std::string(error.what()).find('\n') == std::string::npos;
    if (error.status() == status && found && one_line) return;
    std::fprintf(stderr, "got status %d: %s\nexpected status %d and \"%s\"\n", error.status(), error.what(), status,
                 part.c_str());
    _fail(file, line);
  }
  std::fprintf(stderr, "expected an error with \"%s\", got none\n", part.c_str());
  _fail(file, line);
}
#define CHECK_ERROR(status, part, ...) check_error((status), (part), __FILE__, __LINE__, [&] { __VA_ARGS__; })

// A fresh folder below the system's temporary folder, removed at the end of the scope.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    char name[] = "/tmp/moe-test-XXXXXX";
    path_ = mkdtemp(name);
    ::chmod(path_.c_str(), 0755);  // for ReadOnly
  }
  ~TemporaryFolder() { (void)!std::system(("chmod -R u+rwx '" + path_ + "'; rm -rf '" + path_ + "'").c_str()); }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// Inside the scope this process may read a folder of its own, but not write there. Root may write everywhere, so it
// becomes nobody meanwhile: whatever else the scope reads must be readable for all.
class ReadOnly {
 public:
  explicit ReadOnly(std::string folder) : folder_(std::move(folder)), root_(::geteuid() == 0) {
    CHECK(::chmod(folder_.c_str(), 0555) == 0);
    if (root_) CHECK(::seteuid(65534) == 0);
  }
  ~ReadOnly() {
    if (root_ && ::seteuid(0) != 0) std::abort();
    ::chmod(folder_.c_str(), 0755);
  }
  ReadOnly(const ReadOnly&) = delete;
  ReadOnly& operator=(const ReadOnly&) = delete;

 private:
  std::string folder_;
  bool root_;
};
