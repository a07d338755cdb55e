#include "guard.h"

#include <ATen/Parallel.h>
#include <c10/util/Exception.h>
#include <omp.h>
#include <pthread.h>
#include <torch/csrc/inductor/aoti_torch/c/shim.h>
#include <torch/headeronly/version.h>

#include <atomic>
#include <cstring>
#include <mutex>
#include <new>

#include "buffers.h"
namespace moe::capi {

static thread_local moe_error_info last = MOE_ERROR_INFO_INIT;
static std::atomic<bool> forked_child{false};
static std::atomic<int32_t> wanted_threads{0};  // 0: never set

const moe_error_info& last_error() noexcept {
  return last;
}

size_t cut_utf8(std::string_view text, size_t limit) noexcept {
  if (text.size() <= limit) return text.size();
  while (limit > 0 && (static_cast<unsigned char>(text[limit]) & 0xC0) == 0x80) --limit;
  return limit;
}

moe_status record(moe_status status, std::string_view message, int32_t line, int32_t column) noexcept {
  const size_t length = cut_utf8(message, sizeof(last.text) - 1);
  for (size_t i = 0; i < length; ++i) {
    const auto c = static_cast<unsigned char>(message[i]);
    last.text[i] = c < 0x20 || c == 0x7F ? ' ' : message[i];
  }
  last.text[length] = '\0';
  last.status = status;
  last.line = line;
  last.column = column;
  return status;
}

static moe_status record_out_of_memory() noexcept {
  return record(MOE_ERR_OUT_OF_MEMORY, "out of memory: an allocation failed, nothing was changed");
}

// LibTorch's CPU allocator reports a failed allocation as a plain c10::Error; only its text tells.
static bool is_out_of_memory(const char* message) noexcept {
  return std::strstr(message, "can't allocate memory") != nullptr;
}

static moe_status record_torch_error(const c10::Error& error) noexcept {
  const char* message = error.what_without_backtrace();
  if (is_out_of_memory(message)) return record_out_of_memory();
  return record(MOE_ERR_INTERNAL, message);
}

moe_status record_current_exception() noexcept {
  try {
    throw;
  } catch (const Error& error) {
    return record(error.status(), error.what(), error.where().line, error.where().column);
  } catch (const std::bad_alloc&) {
    return record_out_of_memory();
  } catch (const c10::OutOfMemoryError&) {
    return record_out_of_memory();
  } catch (const c10::Error& error) {
    return record_torch_error(error);
  } catch (const std::exception& error) {
    return record(MOE_ERR_INTERNAL, error.what());
  } catch (...) {
    return record(MOE_ERR_INTERNAL, "an exception that is no std::exception reached the boundary");
  }
}

bool in_forked_child() noexcept {
  return forked_child.load(std::memory_order_relaxed);
}

static void watch_forks() {
  static std::once_flag once;
  std::call_once(once, [] { pthread_atfork(nullptr, nullptr, [] { forked_child.store(true); }); });
}

// OpenMP's count before any other library of the process can have changed it for this thread.
static const int32_t default_threads = omp_get_max_threads();

void set_threads(int32_t threads) {
  wanted_threads.store(threads);
}

// LibTorch's own pools are told only when the count changes: telling them drops oneDNN's cache of plans.
ThreadCount::ThreadCount() : before_(omp_get_max_threads()) {
  static thread_local int32_t adopted = 0;
  const int32_t wanted = wanted_threads.load(std::memory_order_relaxed);
  if (wanted != adopted) {
    at::set_num_threads(wanted);
    adopted = wanted;
  } else {
    at::internal::lazy_init_num_threads();
  }
  during_ = wanted ? wanted : default_threads;
  if (omp_get_max_threads() != during_) omp_set_num_threads(during_);
}

ThreadCount::~ThreadCount() {
  if (before_ != during_) omp_set_num_threads(before_);
}

// A program that has loaded another LibTorch has given it to libmoe as well: the loader keeps one library of a name.
static void require_own_torch() {
  static const uint64_t loaded = aoti_torch_abi_version();
  const auto part = [](int shift) { return static_cast<int>(loaded >> shift & 0xFF); };
  check(loaded == TORCH_ABI_VERSION, MOE_ERR_STATE, "LibTorch: expected ", TORCH_VERSION, ", got ", part(56), '.',
        part(48), '.', part(40), ", which this process loaded before libmoe: use that version, or separate processes");
}

void enter() {
  check(!in_forked_child(), MOE_ERR_STATE,
        "this process was forked after its parent used libmoe: expected fork + exec before the first call, got fork "
        "alone");
  require_own_torch();
  watch_forks();
}

}  // namespace moe::capi
