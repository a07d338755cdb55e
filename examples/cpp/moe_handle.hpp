// What every class of moe.hpp is made of: Error, views of arrays, log functions between C++ and C, ranges, and Handle,
// the owner of one C handle. Programs include moe.hpp.
#pragma once

#include "moe_weak.hpp"

#include <array>
#include <atomic>
#include <cstdint>
#include <exception>
#include <functional>
#include <initializer_list>
#include <iterator>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace moe {

// -------------------------------------------------------------------------------------------------------------- Errors

// A call that failed: status is MOE_ERR_*, what() one line of text, line and column of a settings file or 0.
class Error : public std::runtime_error {
 public:
  Error(moe_status status, const std::string& text, std::int32_t line = 0, std::int32_t column = 0)
      : std::runtime_error(text), status_(status), line_(line), column_(column) {}
  moe_status status() const noexcept { return status_; }
  std::int32_t line() const noexcept { return line_; }
  std::int32_t column() const noexcept { return column_; }

 private:
  moe_status status_;
  std::int32_t line_, column_;
};

// Throws what the last call of this thread left, unless its status is MOE_OK.
inline void check(moe_status status) {
  if (status == MOE_OK) return;
  moe_error_info info = MOE_ERROR_INFO_INIT;
  moe_last_error(&info);
  throw Error(status, info.text, info.line, info.column);
}

// Throws MOE_ERR_VERSION unless the loaded library speaks this header's binary interface and is no older than the
// header. Constructors and free functions call it until it has
// passed once.
inline void check_library() {
  const auto text = [](std::int32_t version) {
    return std::to_string(version / 10000) + "." + std::to_string(version / 100 % 100) + "." +
           std::to_string(version % 100);
  };
  if (moe_abi_version() != MOE_ABI) {
    throw Error(MOE_ERR_VERSION, "libmoe: expected binary interface " + std::to_string(MOE_ABI) + ", got " +
                                     std::to_string(moe_abi_version()));
  }
  if (moe_version() < MOE_VERSION) {
    throw Error(MOE_ERR_VERSION,
                "libmoe: expected version " + text(MOE_VERSION) + " or newer, got " + text(moe_version()));
  }
}

namespace detail {
// check_library() until it has passed once.
inline void check_library_once() {
  static const bool checked = (check_library(), true);
  static_cast<void>(checked);
}
}  // namespace detail

// --------------------------------------------------------------------------------------------------------------- Views

// `size` elements somewhere else; std::span comes with C++20 only.
template <typename T>
class Span {
 public:
  Span(T* data, std::size_t size) : data_(data), size_(size) {}
  template <typename Values, typename = decltype(std::data(std::declval<Values&>()))>
  Span(Values& values) : data_(std::data(values)), size_(std::size(values)) {}  // NOLINT: a view converts by itself
  T* data() const noexcept { return data_; }
  std::size_t size() const noexcept { return size_; }
  T* begin() const noexcept { return data_; }
  T* end() const noexcept { return data_ + size_; }
  T& operator[](std::size_t i) const { return data_[i]; }

 private:
  T* data_;
  std::size_t size_;
};

// Raw bits of the two 16-bit floating-point types.
struct Half {
  std::uint16_t bits;
};
struct BFloat16 {
  std::uint16_t bits;
};

// The MOE_* constant of an element type; other types do not compile.
template <typename T>
constexpr moe_dtype dtype_of() {
  if constexpr (std::is_same_v<T, float>)
    return MOE_F32;
  else if constexpr (std::is_same_v<T, double>)
    return MOE_F64;
  else if constexpr (std::is_same_v<T, Half>)
    return MOE_F16;
  else if constexpr (std::is_same_v<T, BFloat16>)
    return MOE_BF16;
  else if constexpr (std::is_same_v<T, bool>)
    return MOE_BOOL;
  else if constexpr (std::is_same_v<T, std::uint8_t>)
    return MOE_U8;
  else {
    static_assert(std::is_integral_v<T> && std::is_signed_v<T>, "moe: expected an element type of moe_dtype");
    return sizeof(T) == 1 ? MOE_I8 : sizeof(T) == 2 ? MOE_I16 : sizeof(T) == 4 ? MOE_I32 : MOE_I64;
  }
}

// Up to MOE_MAX_DIMS sizes or strides: {4, 3, 320, 320} or any container of integers.
class Sizes {
 public:
  Sizes() = default;
  Sizes(std::initializer_list<std::int64_t> values) { assign(values.begin(), values.size()); }
  template <typename Values, typename = decltype(std::data(std::declval<const Values&>()))>
  Sizes(const Values& values) {  // NOLINT: a shape converts by itself
    assign(std::data(values), std::size(values));
  }
  const std::int64_t* data() const noexcept { return values_.data(); }
  std::size_t size() const noexcept { return size_; }
  std::int64_t operator[](std::size_t i) const { return values_[i]; }

 private:
  template <typename Value>
  void assign(const Value* values, std::size_t size) {
    if (size > MOE_MAX_DIMS) throw Error(MOE_ERR_SHAPE, "shape: expected at most 8 sizes, got " + std::to_string(size));
    for (size_ = 0; size_ < size; ++size_) values_[size_] = static_cast<std::int64_t>(values[size_]);
  }

  std::array<std::int64_t, MOE_MAX_DIMS> values_{};
  std::size_t size_ = 0;
};

// Elements from the first to the last that shape and strides reach; 0 when a size is 0, saturating.
inline std::uint64_t reach(const Sizes& shape, const Sizes& strides) {
  constexpr std::uint64_t most = ~std::uint64_t{0};
  std::uint64_t dense = 1, last = 0;
  for (std::size_t i = shape.size(); i-- > 0;) {
    if (shape[i] == 0) return 0;
    const auto steps = static_cast<std::uint64_t>(shape[i] - 1);
    const std::uint64_t stride = strides.size() == 0 ? dense : static_cast<std::uint64_t>(strides[i]);
    if (stride != 0 && steps > (most / 2 - last) / stride) return most;
    last += steps * stride;
    dense = last + 1;
  }
  return last + 1;
}

// A tensor in the caller's memory, as moe_batch_set() takes it: shape and strides (in elements) are kept inside.
class View {
 public:
  // The caller vouches for the length of `data`. No strides: dense and row-major.
  template <typename T>
  static View unchecked(const T* data, Sizes shape, Sizes strides = {}) {
    return View(dtype_of<std::remove_cv_t<T>>(), data, shape, strides);
  }
  // Only valid while this view lives.
  moe_tensor_view raw() const {
    moe_tensor_view view;
    moe_tensor_view_init(&view);
    view.dtype = dtype_;
    view.ndim = static_cast<std::int32_t>(shape_.size());
    view.data = data_;
    view.shape = shape_.data();
    view.strides = strides_.size() == 0 ? nullptr : strides_.data();
    return view;
  }

 private:
  View(moe_dtype dtype, const void* data, Sizes shape, Sizes strides)
      : dtype_(dtype), data_(data), shape_(shape), strides_(strides) {
    if (strides.size() != 0 && strides.size() != shape.size()) {
      throw Error(MOE_ERR_SHAPE, "strides: expected " + std::to_string(shape.size()) + ", one a size, got " +
                                     std::to_string(strides.size()));
    }
  }

  moe_dtype dtype_;
  const void* data_;
  Sizes shape_, strides_;
};

// A view of a vector, array or span. Throws MOE_ERR_SHAPE when the shape reaches beyond its end.
template <typename Values>
View view(const Values& values, Sizes shape, Sizes strides = {}) {
  const View out = View::unchecked(std::data(values), shape, strides);
  const std::uint64_t wanted = reach(shape, strides), size = std::size(values);
  if (wanted > size || (strides.size() == 0 && wanted != size)) {
    throw Error(MOE_ERR_SHAPE, "shape: expected one of " + std::to_string(size) + " elements, got one of " +
                                   (wanted >> 63 ? "2^63 or more" : std::to_string(wanted)));
  }
  return out;
}

// A tensor of one's own: dense, row-major.
template <typename T>
struct Tensor {
  std::vector<std::int64_t> shape;
  std::vector<T> data;
};

// ------------------------------------------------------------------------------------------------------------- Handles

// Receives a level (MOE_LOG_*) and one line. It runs in the thread of the call; what it throws is thrown after that
// call.
using Log = std::function<void(std::int32_t level, std::string_view line)>;

namespace detail {

// Stands between a Log and the C callback: keeps the first exception until rethrow().
class LogSink {
 public:
  explicit LogSink(Log log) : log_(std::move(log)) {}
  moe_log_fn function() const noexcept { return log_ ? &receive : nullptr; }
  void rethrow() {
    if (thrown_) std::rethrow_exception(std::exchange(thrown_, nullptr));
  }

 private:
  static void receive(std::int32_t level, const char* message, void* user) noexcept {
    auto* self = static_cast<LogSink*>(user);
    if (self->thrown_) return;
    try {
      self->log_(level, message);
    } catch (...) {
      self->thrown_ = std::current_exception();
    }
  }

  Log log_;
  std::exception_ptr thrown_;
};

// Marks a handle as in use for the length of a call.
class Use {
 public:
  explicit Use(std::atomic<bool>& busy) : busy_(busy) {
    if (busy.exchange(true, std::memory_order_acquire)) {
      throw Error(MOE_ERR_STATE,
                  "expected a handle that is free, got one that is in a call (another thread, or a log function)");
    }
  }
  Use(const Use&) = delete;
  Use& operator=(const Use&) = delete;
  ~Use() { busy_.store(false, std::memory_order_release); }

 private:
  std::atomic<bool>& busy_;
};

// Text by the rule of moe.h: ask for the size, then fill.
template <typename Call>
std::string text(Call call) {
  std::size_t needed = 0;
  check(call(static_cast<char*>(nullptr), std::size_t{0}, &needed));
  std::string out(needed, '\0');
  check(call(out.data(), out.size(), &needed));
  out.resize(needed - 1);  // without the NUL
  return out;
}

// The same for arrays.
template <typename Item, typename Call>
std::vector<Item> list(Call call) {
  std::size_t count = 0;
  check(call(static_cast<Item*>(nullptr), std::size_t{0}, &count));
  std::vector<Item> out(count);
  check(call(out.data(), out.size(), &count));
  return out;
}

// Items of a source with `bool next(Item&)`, for range-based for. One item lives in the range and is filled anew.
template <typename Source, typename Item>
class Range {
 public:
  class iterator {
   public:
    using iterator_category = std::input_iterator_tag;
    using value_type = Item;
    using difference_type = std::ptrdiff_t;
    using pointer = Item*;
    using reference = Item&;
    explicit iterator(Range* range) : range_(range) {}
    reference operator*() const { return range_->item_; }
    pointer operator->() const { return &range_->item_; }
    iterator& operator++() {
      if (!range_->source_.next(range_->item_)) range_ = nullptr;
      return *this;
    }
    void operator++(int) { ++*this; }
    bool operator==(const iterator& other) const { return range_ == other.range_; }
    bool operator!=(const iterator& other) const { return range_ != other.range_; }

   private:
    Range* range_;
  };

  Range(Source& source, Item item) : source_(source), item_(std::move(item)) {}
  iterator begin() { return ++iterator(this); }
  iterator end() { return iterator(nullptr); }

 private:
  Source& source_;
  Item item_;
};

}  // namespace detail

// Owner of a C handle, and of the log function it calls.
template <typename Raw, void (*Free)(Raw*)>
class Handle {
 public:
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;
  Handle(Handle&& other) noexcept : busy_(nullptr) { swap(other); }
  Handle& operator=(Handle&& other) noexcept {
    Handle gone(std::move(other));
    swap(gone);
    return *this;
  }
  ~Handle() { free(); }

  // Frees it now; later calls throw MOE_ERR_STATE, a second close() does nothing.
  void close() {
    if (!raw_) return;
    const std::shared_ptr<std::atomic<bool>> kept = busy_;
    const detail::Use use(*kept);
    free();
  }
  bool is_open() const noexcept { return raw_ != nullptr; }

  // The C handle, for calls that have no member here. It stays this object's.
  Raw* raw() const {
    if (!raw_) throw Error(MOE_ERR_STATE, "expected an open handle, got one that is closed or moved from");
    return raw_;
  }

  // Marks the handle as in use while the result lives. For calls of the C library with two handles, or without a
  // member.
  struct Lock {
    Raw* raw;
    detail::Use use;
  };
  Lock lock() const {
    Raw* raw = this->raw();
    return {raw, detail::Use(*busy_)};
  }
  // Throws what the log function threw in a call made with lock().
  void rethrow() const {
    if (sink_) sink_->rethrow();
  }

 protected:
  Handle() { detail::check_library_once(); }
  Handle(Raw* raw, std::shared_ptr<std::atomic<bool>> busy) : raw_(raw), owned_(false), busy_(std::move(busy)) {}

  // create(args ..., &raw) makes the handle.
  template <typename Create, typename... Args>
  void open(Create create, Args... args) {
    const moe_status status = create(args..., &raw_);
    rethrow();
    check(status);
  }
  // The status of function(raw, args ...), after what the log function threw.
  template <typename Function, typename... Args>
  moe_status call(Function function, Args... args) const {
    const Lock held = lock();
    const moe_status status = function(held.raw, args...);
    rethrow();
    return status;
  }
  template <typename Function, typename... Args>
  void run(Function function, Args... args) const {
    check(call(function, args...));
  }
  // False at the end of a sequence.
  template <typename Function, typename... Args>
  bool advance(Function function, Args... args) const {
    const moe_status status = call(function, args...);
    if (status != MOE_END) check(status);
    return status == MOE_OK;
  }
  // What function(raw, args ..., &out) writes over `out`.
  template <typename Value, typename Function, typename... Args>
  Value value(Value out, Function function, Args... args) const {
    run(function, args..., &out);
    return out;
  }
  // What function(raw, args ..., buffer, capacity, &needed) writes, as text and as an array.
  template <typename Function, typename... Args>
  std::string text(Function function, Args... args) const {
    return detail::text([&](auto... out) { return call(function, args..., out...); });
  }
  template <typename Item, typename Function, typename... Args>
  std::vector<Item> list(Function function, Args... args) const {
    return detail::list<Item>([&](auto... out) { return call(function, args..., out...); });
  }

  void adopt(std::unique_ptr<detail::LogSink> sink) { sink_ = std::move(sink); }
  detail::LogSink* log_to(Log log) { return (sink_ = std::make_unique<detail::LogSink>(std::move(log))).get(); }
  const std::shared_ptr<std::atomic<bool>>& busy() const { return busy_; }
  Raw* unchecked_raw() const noexcept { return raw_; }

 private:
  void swap(Handle& other) noexcept {
    std::swap(raw_, other.raw_);
    std::swap(owned_, other.owned_);
    std::swap(busy_, other.busy_);
    std::swap(sink_, other.sink_);
  }
  void free() noexcept {
    if (owned_) Free(raw_);
    raw_ = nullptr;
  }

  Raw* raw_ = nullptr;
  bool owned_ = true;
  std::shared_ptr<std::atomic<bool>> busy_ = std::make_shared<std::atomic<bool>>(false);
  std::unique_ptr<detail::LogSink> sink_;  // behind a pointer: the library keeps its address when the handle moves
};

}  // namespace moe
