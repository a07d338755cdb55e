// Files: whole reads, writes that appear whole or not at all, appended lines, locks, and one clear line for every
// failure.
#include "base/files.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"
#include "support/test.h"

using namespace moe;

using Texts = std::vector<std::string>;

// Writing beyond `bytes` in any file fails with EFBIG inside the scope, as it does with ENOSPC on a full disk.
class SmallFiles {
 public:
  explicit SmallFiles(rlim_t bytes) {
    ::signal(SIGXFSZ, SIG_IGN);
    ::getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit limit = {bytes, before_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~SmallFiles() { ::setrlimit(RLIMIT_FSIZE, &before_); }

 private:
  rlimit before_{};
};

static void written_files_read_back(void**) {
  TemporaryFolder folder;
  const std::string all_bytes = [] {
    std::string out;
    for (int i = 0; i < 3 << 20; ++i) out += static_cast<char>(i * 131);
    return out;
  }();
  write_file_atomic(folder / "a", all_bytes);
  CHECK(read_file(folder / "a") == all_bytes);
  CHECK(file_size(folder / "a") == static_cast<int64_t>(all_bytes.size()));
  write_file_atomic(folder / "a", "");
  CHECK(read_file(folder / "a").empty() && exists(folder / "a"));
  CHECK((list_directory(folder.path()) == Texts{"a"}));
}

static void an_atomic_file_appears_only_when_committed(void**) {
  TemporaryFolder folder;
  {
    AtomicFile file(folder / "a");
    file.write("half");
    CHECK(!exists(folder / "a"));
  }
  CHECK(list_directory(folder.path()).empty());
  write_file_atomic(folder / "a", "old");
  {
    AtomicFile file(folder / "a");
    file.write("new");
    CHECK(read_file(folder / "a") == "old");
    file.commit();
  }
  CHECK(read_file(folder / "a") == "new");
  CHECK((list_directory(folder.path()) == Texts{"a"}));
}

static void a_full_disk_leaves_the_old_file(void**) {
  TemporaryFolder folder;
  write_file_atomic(folder / "a", "old");
  {
    const SmallFiles limit(4096);
    CHECK_ERROR(MOE_ERR_IO, folder / "a.tmp" + ": cannot write",
                write_file_atomic(folder / "a", std::string(100000, 'x')));
  }
  CHECK(read_file(folder / "a") == "old");
  CHECK((list_directory(folder.path()) == Texts{"a"}));
}

static void a_full_device_is_one_clear_line(void**) {
  CHECK_ERROR(MOE_ERR_IO, "/dev/full: cannot write: No space left on device", AppendFile("/dev/full").line("x"));
}

static void places_that_cannot_be_written_say_so(void**) {
  TemporaryFolder folder;
  write_file_atomic(folder / "file", "x");
  CHECK_ERROR(MOE_ERR_NOT_FOUND, "nowhere/a.tmp: cannot create", write_file_atomic(folder / "nowhere/a", "x"));
  CHECK_ERROR(MOE_ERR_IO, "Not a directory", write_file_atomic(folder / "file/a", "x"));
  CHECK_ERROR(MOE_ERR_IO, "Not a directory", make_directories(folder / "file/a"));
  CHECK_ERROR(MOE_ERR_NOT_FOUND, "cannot open for appending", AppendFile(folder / "nowhere/log"));
  make_directories(folder / "taken");
  CHECK_ERROR(MOE_ERR_IO, "cannot rename", write_file_atomic(folder / "taken", "x"));
  CHECK((list_directory(folder.path()) == Texts{"file", "taken"}));
}

static void a_read_only_folder_refuses(void**) {
  TemporaryFolder folder;
  write_file_atomic(folder / "old", "x");
  {
    const ReadOnly nobody_writes(folder.path());
    CHECK_ERROR(MOE_ERR_IO, folder / "a.tmp" + ": cannot create: Permission denied",
                write_file_atomic(folder / "a", "x"));
    CHECK_ERROR(MOE_ERR_IO, "log: cannot open for appending: Permission denied", AppendFile(folder / "log"));
    CHECK_ERROR(MOE_ERR_IO, "sub: cannot create the folder: Permission denied", make_directories(folder / "sub"));
    CHECK_ERROR(MOE_ERR_IO, "old: cannot remove: Permission denied", remove_file(folder / "old"));
    CHECK(read_file(folder / "old") == "x");
  }
  CHECK((list_directory(folder.path()) == Texts{"old"}));
}

static void missing_files_are_named(void**) {
  TemporaryFolder folder;
  CHECK_ERROR(MOE_ERR_NOT_FOUND, folder / "none" + ": cannot open: No such file", read_file(folder / "none"));
  CHECK_ERROR(MOE_ERR_NOT_FOUND, "none", file_size(folder / "none"));
  CHECK_ERROR(MOE_ERR_NOT_FOUND, "cannot list", list_directory(folder / "none"));
  CHECK_ERROR(MOE_ERR_IO, "Is a directory", read_file(folder.path()));
  remove_file(folder / "none");
  CHECK(!exists(folder / "none") && !is_directory(folder / "none") && is_directory(folder.path()));
}

static void logs_grow_line_by_line(void**) {
  TemporaryFolder folder;
  {
    AppendFile log(folder / "log");
    log.line("one");
    log.line("");
  }
  AppendFile(folder / "log").line("two");
  CHECK(read_file(folder / "log") == "one\n\ntwo\n");
}

static void a_lock_has_one_holder(void**) {
  TemporaryFolder folder;
  {
    const FileLock lock(folder / "lock");
    CHECK_ERROR(MOE_ERR_STATE, folder / "lock" + ": expected a run folder that no other process uses, got one in use",
                FileLock(folder / "lock"));
  }
  const FileLock again(folder / "lock");
}

static void a_lock_ends_with_its_process(void**) {
  TemporaryFolder folder;
  const pid_t child = ::fork();
  if (child == 0) {
    const FileLock lock(folder / "lock");
    ::kill(::getpid(), SIGKILL);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  CHECK(WIFSIGNALED(status));
  const FileLock lock(folder / "lock");
}

static void paths_are_taken_apart_and_joined(void**) {
  CHECK(parent_directory("a/b.yml") == "a" && parent_directory("b.yml") == "." && parent_directory("/b") == "/");
  CHECK(join_path("a", "b") == "a/b" && join_path("a/", "b") == "a/b" && join_path("", "b") == "b");
  CHECK(join_path("a", "/b") == "/b" && join_path(".", "b") == "b");
  CHECK(file_name("a/b.tar.gz") == "b.tar.gz" && file_stem("a/b.yml") == "b");
}

static void crc_is_zlibs(void**) {
  CHECK(crc32(0, "123456789", 9) == 0xCBF43926u);
  CHECK(crc32(crc32(0, "1234", 4), "56789", 5) == 0xCBF43926u);
}

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(written_files_read_back),
      cmocka_unit_test(an_atomic_file_appears_only_when_committed),
      cmocka_unit_test(a_full_disk_leaves_the_old_file),
      cmocka_unit_test(a_full_device_is_one_clear_line),
      cmocka_unit_test(places_that_cannot_be_written_say_so),
      cmocka_unit_test(a_read_only_folder_refuses),
      cmocka_unit_test(missing_files_are_named),
      cmocka_unit_test(logs_grow_line_by_line),
      cmocka_unit_test(a_lock_has_one_holder),
      cmocka_unit_test(a_lock_ends_with_its_process),
      cmocka_unit_test(paths_are_taken_apart_and_joined),
      cmocka_unit_test(crc_is_zlibs),
  };
  return cmocka_run_group_tests(tests, nullptr, nullptr);
}
