// Reference statistics: files of numpy.savez and savez_compressed, the round trip, a file that numpy's own reader takes
// (checked byte by byte against the format), and what is refused.
#include "eval/statistics_file.h"
#include "support/test.h"

#include <ATen/ATen.h>

#include "base/files.h"
#include "base/zip_archive.h"

using namespace moe;

static std::string fixture(const std::string& name) {
  const char* root = std::getenv("MOE_SOURCE_DIR");
  return std::string(root ? root : ".") + "/tests/fixtures/diffusion/" + name;
}

static at::Tensor mu() {
  return at::arange(4, at::kDouble) * 0.5 - 1;
}

static at::Tensor sigma() {
  const at::Tensor i = at::arange(4, at::kDouble);
  return 1 / ((i.unsqueeze(0) - i.unsqueeze(1)).abs() + 1);
}

static void check_moments(const FeatureMoments& got) {
  CHECK(got.mean.scalar_type() == at::kDouble && at::equal(got.mean, mu()));
  CHECK(at::allclose(got.covariance, sigma(), 0, 1e-15));
}

static void test_files_of_numpy(void**) {
  check_moments(read_statistics(fixture("stored.npz")));
  check_moments(read_statistics(fixture("compressed.npz")));
}

static void test_round_trip(void**) {
  const TemporaryFolder folder;
  const std::string path = folder / "own.npz";
  write_statistics(path, {mu(), sigma()});
  check_moments(read_statistics(path));
  // The same bytes as numpy's own array files.
  const ZipArchive own(path), numpy(fixture("stored.npz"));
  for (const char* name : {"mu.npy", "sigma.npy"}) {
    std::string a(own.find(name)->size, '\0'), b(numpy.find(name)->size, '\0');
    own.read(name, *own.find(name), a.data());
    numpy.read(name, *numpy.find(name), b.data());
    CHECK(a == b);
  }
}

static void test_refused(void**) {
  const TemporaryFolder folder;
  CHECK_ERROR(MOE_ERR_NOT_FOUND, "absent.npz", read_statistics(folder / "absent.npz"));
  CHECK_ERROR(MOE_ERR_DATA, "sigma: expected row-major values", read_statistics(fixture("fortran.npz")));
  CHECK_ERROR(MOE_ERR_DATA, "expected mu [D] and sigma [D, D], got [4] and [3, 4]",
              read_statistics(fixture("shapes.npz")));
  write_file_atomic(folder / "text.npz", "mu sigma");
  CHECK_ERROR(MOE_ERR_DATA, "expected a zip archive", read_statistics(folder / "text.npz"));
  write_zip(folder / "other.npz", {{"mean.npy", "x"}});
  CHECK_ERROR(MOE_ERR_DATA, "expected arrays mu and sigma of reference statistics, got no mu",
              read_statistics(folder / "other.npz"));
  write_zip(folder / "bytes.npz", {{"mu.npy", "not an array"}, {"sigma.npy", "x"}});
  CHECK_ERROR(MOE_ERR_DATA, "mu: expected an array of numpy", read_statistics(folder / "bytes.npz"));
}

// A file cut or changed anywhere is an error of one line or, where it does not matter, the same numbers.
static void test_damage(void**) {
  const TemporaryFolder folder;
  for (const char* name : {"stored.npz", "compressed.npz"}) {
    const std::string whole = read_file(fixture(name));
    for (size_t length = 0; length < whole.size(); length += 7) {
      write_file_atomic(folder / "cut.npz", whole.substr(0, length));
      CHECK_ERROR(MOE_ERR_DATA, "cut.npz", read_statistics(folder / "cut.npz"));
    }
    for (size_t at = 0; at < whole.size(); at += 3) {
      std::string changed = whole;
      changed[at] = static_cast<char>(changed[at] ^ 0x55);
      write_file_atomic(folder / "changed.npz", changed);
      try {
        check_moments(read_statistics(folder / "changed.npz"));
      } catch (const Error& error) {
        CHECK(std::string(error.what()).find('\n') == std::string::npos);
      }
    }
  }
}

int main() {
  const CMUnitTest tests[] = {cmocka_unit_test(test_files_of_numpy), cmocka_unit_test(test_round_trip),
                              cmocka_unit_test(test_refused), cmocka_unit_test(test_damage)};
  return cmocka_run_group_tests_name("statistics file", tests, nullptr, nullptr);
}
