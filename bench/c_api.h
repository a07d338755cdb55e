// What benchmarks through moe.h share: the end of the program at the first error, tensor views, settings.
#pragma once

#include <moe.h>

#include <cstdio>
#include <cstdlib>
#include <string>

namespace bench {

inline void check(moe_status status) {
  if (status == MOE_OK) return;
  moe_error_info error = MOE_ERROR_INFO_INIT;
  moe_last_error(&error);
  std::fprintf(stderr, "%s\n", error.text);
  std::exit(1);
}

// Dense, and read during a call only.
template <typename T>
moe_tensor_view view(moe_dtype dtype, const T* data, const int64_t* shape, int32_t ndim) {
  moe_tensor_view out;
  moe_tensor_view_init(&out);
  out.dtype = dtype;
  out.data = data;
  out.shape = shape;
  out.ndim = ndim;
  return out;
}

inline moe_config* parse_config(const std::string& settings) {
  moe_config* config = nullptr;
  check(moe_config_parse(settings.data(), settings.size(), nullptr, &config));
  return config;
}

inline moe_session* create_session(const std::string& settings) {
  moe_config* config = parse_config(settings);
  moe_session* session = nullptr;
  check(moe_session_create(config, nullptr, &session));
  moe_config_free(config);
  return session;
}

}  // namespace bench
