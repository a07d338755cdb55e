// Matrix products of both backends against fp64 loops: every layout of the operands, sizes 1 to 70, accumulation, empty
// dimensions, error bounds of each type; the choice of the backend.
#include "tensor/gemm.h"

#include <torch/torch.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <limits>
#include <set>

#include "base/rng.h"
#include "support/test.h"
#include "tensor/random.h"

using namespace moe;

namespace {

constexpr std::array<GemmBackend, 2> backends = {GemmBackend::onednn, GemmBackend::mkl};

// How a matrix lies in memory: by rows, by columns, and either as part of a wider one (odd leading dimension).
constexpr int layouts = 4;

at::Tensor lay(const at::Tensor& values, int layout) {
  if (layout % 2 == 1) return lay(values.t(), layout - 1).t();
  if (layout == 0) return values.clone(at::MemoryFormat::Contiguous);
  const double outside = std::numeric_limits<double>::quiet_NaN();  // whoever reads it shows
  at::Tensor wide = at::full({values.size(0), values.size(1) + 3}, outside, values.options());
  at::Tensor part = wide.narrow(1, 1, values.size(1));
  part.copy_(values);
  return part;
}

at::Tensor matrix(const char* name, int64_t rows, int64_t columns, at::ScalarType type) {
  return normal_tensor(Rng(5, name), {rows, columns}).to(type);
}

// The reference: a b + c in float64.
at::Tensor product(const at::Tensor& a, const at::Tensor& b, const at::Tensor& c) {
  const at::Tensor x = a.to(at::kDouble).contiguous(), y = b.to(at::kDouble).contiguous();
  at::Tensor out = c.to(at::kDouble).clone(at::MemoryFormat::Contiguous);
  const double *px = x.const_data_ptr<double>(), *py = y.const_data_ptr<double>();
  double* po = out.mutable_data_ptr<double>();
  const int64_t m = x.size(0), depth = x.size(1), n = y.size(1);
  for (int64_t i = 0; i < m; ++i) {
    for (int64_t k = 0; k < depth; ++k) {
      for (int64_t j = 0; j < n; ++j) po[i * n + j] += px[i * depth + k] * py[k * n + j];
    }
  }
  return out;
}

double rounding(at::ScalarType type) {
  return type == at::kBFloat16 ? 0x1p-8 : type == at::kFloat ? 0x1p-24 : 0x1p-53;
}

// A product and what its result may differ by: one rounding of the result (two where it is added to) and K roundings of
// the sums, which are float32 at least.
struct Expected {
  at::Tensor a, b, c, plain, added, bound;

  Expected(int64_t m, int64_t k, int64_t n, at::ScalarType type)
      : a(matrix("a", m, k, type)), b(matrix("b", k, n, type)), c(matrix("c", m, n, type)) {
    plain = product(a, b, at::zeros_like(c));
    added = product(a, b, c);
    const double sum = rounding(type == at::kDouble ? at::kDouble : at::kFloat) * static_cast<double>(k + 2);
    bound = product(a.abs(), b.abs(), c.abs()) * sum + (plain.abs() + added.abs()) * (2 * rounding(type)) + 1e-300;
  }

  void check_out(const at::Tensor& out, bool accumulate) const {
    const at::Tensor error = (out.to(at::kDouble) - (accumulate ? added : plain)).abs() / bound;
    if (!error.le(1.0).all().item<bool>()) {
      std::fprintf(stderr, "%s %lld x %lld x %lld, accumulate %d: %g of the bound\n", c10::toString(out.scalar_type()),
                   static_cast<long long>(a.size(0)), static_cast<long long>(a.size(1)),
                   static_cast<long long>(b.size(1)), accumulate, error.max().item<double>());
    }
    CHECK(error.le(1.0).all().item<bool>());
  }
};

// `layout` counts through all layouts of both operands; that of out and the accumulation go round with them.
void check_layout(const Expected& want, GemmBackend backend, int layout, int turn) {
  const bool accumulate = (turn + layout / layouts) % 2 == 1;
  at::Tensor out = lay(want.c, (turn + layout) % layouts);
  gemm_by(backend, lay(want.a, layout % layouts), lay(want.b, layout / layouts), out, accumulate);
  want.check_out(out, accumulate);
}

// Every size with four of the sixteen pairs of layouts, others at the next size.
void check_sizes(at::ScalarType type) {
  for (int size = 1; size <= 70; ++size) {
    const Expected want(size, size * 7 % 70 + 1, size * 13 % 70 + 1, type);
    for (const GemmBackend backend : backends) {
      for (int turn = 0; turn < 4; ++turn) check_layout(want, backend, (size + 5 * turn) % 16, size / 16 + turn);
    }
  }
}

}  // namespace

static void float32_sizes(void**) {
  check_sizes(at::kFloat);
}
static void bfloat16_sizes(void**) {
  check_sizes(at::kBFloat16);
}
static void float64_sizes(void**) {
  check_sizes(at::kDouble);
}

// The three products of an expert with 300 rows; dW sums over the rows and lies transposed.
static void layer_sizes(void**) {
  constexpr int64_t sizes[][3] = {{300, 256, 512}, {300, 512, 256}, {512, 300, 256}};
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    for (const auto& [m, k, n] : sizes) {
      const Expected want(m, k, n, type);
      for (const GemmBackend backend : backends) {
        for (int layout = 0; layout < layouts; ++layout) check_layout(want, backend, layout * 5, layout);
      }
    }
  }
}

static void around_a_slice(void**) {
  for (const GemmBackend backend : backends) {
    at::Tensor wide = at::full({40, 50}, 7.0);
    at::Tensor out = wide.narrow(0, 3, 32).narrow(1, 5, 40);
    gemm_by(backend, at::ones({32, 64}), at::ones({64, 40}), out);
    CHECK(out.eq(64).all().item<bool>());
    CHECK(wide.eq(7).sum().item<int64_t>() == 40 * 50 - 32 * 40);
  }
}

static void same_bits_twice(void**) {
  const at::Tensor a = matrix("a", 129, 300, at::kFloat), b = matrix("b", 300, 65, at::kFloat);
  at::Tensor first = at::empty({129, 65}), second = at::empty({129, 65});
  gemm(a, b, first);
  gemm(a, b, second);
  CHECK(at::equal(first, second));
}

static void empty_dimensions(void**) {
  for (const GemmBackend backend : backends) {
    for (const at::ScalarType type : {at::kFloat, at::kBFloat16, at::kDouble}) {
      const at::TensorOptions options = at::TensorOptions(type);
      at::Tensor no_rows = at::empty({0, 5}, options), no_columns = at::empty({5, 0}, options);
      gemm_by(backend, at::empty({0, 4}, options), at::empty({4, 5}, options), no_rows);
      gemm_by(backend, at::empty({5, 4}, options), at::empty({4, 0}, options), no_columns, true);
      at::Tensor out = at::ones({3, 5}, options);
      gemm_by(backend, at::empty({3, 0}, options), at::empty({0, 5}, options), out, true);
      CHECK(out.eq(1).all().item<bool>());
      gemm_by(backend, at::empty({3, 0}, options), at::empty({0, 5}, options), out);
      CHECK(out.eq(0).all().item<bool>());
    }
  }
}

static void leaves_of_a_graph(void**) {
  const at::Tensor weight = matrix("a", 40, 30, at::kFloat).requires_grad_();
  at::Tensor out = at::empty({40, 40});
  for (const GemmBackend backend : backends) {
    gemm_by(backend, weight, weight.t(), out);
    gemm_by(backend, weight, weight.t(), out, true);
    CHECK(!out.requires_grad());
  }
}

static void errors(void**) {
  at::Tensor out = at::empty({3, 5});
  const at::Tensor a = at::ones({3, 4}), b = at::ones({4, 5});
  CHECK_ERROR(MOE_ERR_SHAPE, "gemm: expected [M, K] [K, N] -> [M, N], got [3, 4] [5, 4] -> [3, 5]",
              gemm(a, b.t(), out));
  CHECK_ERROR(MOE_ERR_SHAPE, "got [3, 4] [4, 4] -> [3, 5]", gemm(a, at::ones({4, 4}), out));
  CHECK_ERROR(MOE_ERR_SHAPE, "gemm: expected three matrices, got [1, 3, 4] [4, 5] -> [3, 5]",
              gemm(a.unsqueeze(0), b, out));
  CHECK_ERROR(MOE_ERR_DTYPE, "of one type, got Float Double -> Float", gemm(a, b.to(at::kDouble), out));
}

static void rows_of_changing_buffers(void**) {
  CHECK(gemm_rows(0) == 0 && gemm_rows(1) == 8 && gemm_rows(8) == 8 && gemm_rows(75) == 80);
  CHECK(gemm_rows(300) == 304 && gemm_rows(512) == 512 && gemm_rows(513) == 544);
  std::set<int64_t> sizes;
  for (int64_t rows = 0; rows <= 5000; ++rows) {
    const int64_t padded = gemm_rows(rows);
    CHECK(padded >= rows && padded - rows <= std::max<int64_t>(7, rows / 16));
    CHECK(gemm_rows(padded) == padded && gemm_rows(rows + 1) >= padded);
    if (rows >= 200 && rows <= 1000) sizes.insert(padded);
  }
  CHECK(sizes.size() <= 40);
}

static void choice_of_the_backend(void**) {
  CHECK(choose_gemm_backend("mkl") == GemmBackend::mkl);
  CHECK(choose_gemm_backend(nullptr) == choose_gemm_backend("auto"));
  CHECK(choose_gemm_backend("") == choose_gemm_backend("auto"));
  CHECK_ERROR(MOE_ERR_CONFIG, "MOE_GEMM: expected auto, onednn or mkl, got \"onedn\", did you mean \"onednn\"?",
              choose_gemm_backend("onedn"));
  const std::string said = gemm_backend_text();
  CHECK(said.find("float32") != std::string::npos || said.find("all types") != std::string::npos);
  CHECK(said.find('\n') == std::string::npos);
}

// [G, M, K] x [G, K, N], both operands in both orders, one pair at a time by the reference.
static void batches(void**) {
  constexpr int64_t sizes[][4] = {{6, 129, 64, 129}, {3, 7, 5, 9}, {2, 1, 8, 33},
                                  {2, 9, 1, 8},      {3, 9, 8, 1}, {1, 40, 32, 24}};
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16, at::kDouble}) {
    for (const auto& [groups, m, k, n] : sizes) {
      const Expected want(m, k, n, type);
      for (int turn = 0; turn < 16; ++turn) {
        const auto stack = [&](const at::Tensor& x, bool by_columns) {
          const at::Tensor all = x.expand({groups, x.size(0), x.size(1)}).clone(at::MemoryFormat::Contiguous);
          return by_columns ? all.transpose(1, 2).contiguous().transpose(1, 2) : all;
        };
        const bool accumulate = turn & 1;
        at::Tensor out = stack(want.c, false);
        batched_gemm_by(backends[turn / 2 % 2], stack(want.a, turn & 4), stack(want.b, turn & 8), out, accumulate);
        for (int64_t group = 0; group < groups; ++group) want.check_out(out[group], accumulate);
      }
    }
  }
  at::Tensor out = at::empty({2, 3, 4});
  CHECK_ERROR(MOE_ERR_SHAPE, "[G, M, K] [G, K, N] -> dense [G, M, N], got [2, 3, 5] [1, 5, 4] -> [2, 3, 4]",
              batched_gemm(at::ones({2, 3, 5}), at::ones({1, 5, 4}), out));
}

// In a child: what gemm() is there, and that it has the bits of that backend.
static int say_backend() {
  try {
    const at::Tensor a = matrix("a", 200, 300, at::kFloat), b = matrix("b", 300, 100, at::kFloat);
    at::Tensor out = at::empty({200, 100}), want = at::empty({200, 100});
    gemm(a, b, out);
    gemm_by(gemm_backend(), a, b, want);
    std::puts(gemm_backend_text().c_str());
    return at::equal(out, want) ? 0 : 1;
  } catch (const Error& error) {
    std::puts(error.what());
    return 2;
  }
}

struct Child {
  int code;
  std::string said;
};

static Child with_setting(const std::string& setting) {
  char self[4096] = {};
  CHECK(readlink("/proc/self/exe", self, sizeof self - 1) > 0);
  std::FILE* out = popen(("MOE_GEMM=" + setting + " " + self + " say").c_str(), "r");
  char line[1024] = {};
  CHECK(std::fgets(line, sizeof line, out) != nullptr);
  const int status = pclose(out);
  return {WEXITSTATUS(status), std::string(line)};
}

static void setting_of_the_process(void**) {
  const Child mkl = with_setting("mkl"), automatic = with_setting("auto"), wrong = with_setting("onednm");
  CHECK(mkl.code == 0 && mkl.said == "MKL for all types (MOE_GEMM: mkl)\n");
  const bool onednn = choose_gemm_backend("auto") == GemmBackend::onednn;
  CHECK(automatic.code == 0 && automatic.said.starts_with(onednn ? "oneDNN for float32" : "MKL for all types"));
  CHECK(wrong.code == 2 && wrong.said.find("got \"onednm\", did you mean \"onednn\"?") != std::string::npos);
  const Child forced = with_setting("onednn");  // an error where this CPU cannot
  if (onednn) CHECK(forced.code == 0 && forced.said.ends_with("(MOE_GEMM: onednn)\n"));
}

int main(int argc, char**) {
  if (argc > 1) return say_backend();
  const CMUnitTest tests[] = {cmocka_unit_test(float32_sizes),
                              cmocka_unit_test(bfloat16_sizes),
                              cmocka_unit_test(float64_sizes),
                              cmocka_unit_test(layer_sizes),
                              cmocka_unit_test(around_a_slice),
                              cmocka_unit_test(same_bits_twice),
                              cmocka_unit_test(empty_dimensions),
                              cmocka_unit_test(leaves_of_a_graph),
                              cmocka_unit_test(errors),
                              cmocka_unit_test(rows_of_changing_buffers),
                              cmocka_unit_test(choice_of_the_backend),
                              cmocka_unit_test(batches),
                              cmocka_unit_test(setting_of_the_process)};
  return cmocka_run_group_tests(tests, nullptr, nullptr);
}
