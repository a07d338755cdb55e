#include "base/files.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include "base/error.h"

namespace moe {

namespace fs = std::filesystem;

static std::string reason(int error) {
  return std::strerror(error);
}

[[noreturn]] static void fail_io(const std::string& path, const char* what, int error) {
  fail(error == ENOENT ? MOE_ERR_NOT_FOUND : MOE_ERR_IO, path, ": cannot ", what, ": ", reason(error));
}

static void write_all(int descriptor, const std::string& path, const void* data, size_t bytes) {
  const char* next = static_cast<const char*>(data);
  while (bytes > 0) {
    const ssize_t done = ::write(descriptor, next, std::min<size_t>(bytes, size_t{1} << 30));
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) fail_io(path, "write", errno);
    next += done;
    bytes -= static_cast<size_t>(done);
  }
}

bool exists(const std::string& path) {
  std::error_code ignored;
  return fs::exists(path, ignored);
}

bool is_directory(const std::string& path) {
  std::error_code ignored;
  return fs::is_directory(path, ignored);
}

int64_t file_size(const std::string& path) {
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) fail_io(path, "read", errno);
  return info.st_size;
}

std::string read_file(const std::string& path) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) fail_io(path, "open", errno);
  std::string out;
  struct stat info {};
  if (::fstat(descriptor, &info) == 0 && info.st_size > 0) out.reserve(static_cast<size_t>(info.st_size) + 1);
  std::vector<char> buffer(1 << 20);
  while (true) {
    const ssize_t got = ::read(descriptor, buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    const int error = errno;
    if (got <= 0) {
      ::close(descriptor);
      if (got < 0) fail_io(path, "read", error);
      return out;
    }
    out.append(buffer.data(), static_cast<size_t>(got));
  }
}

void make_directories(const std::string& path) {
  std::error_code error;
  fs::create_directories(path, error);
  if (error) fail(MOE_ERR_IO, path, ": cannot create the folder: ", error.message());
}

void remove_file(const std::string& path) {
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) fail_io(path, "remove", errno);
}

void rename_file(const std::string& from, const std::string& to) {
  if (::rename(from.c_str(), to.c_str()) != 0) fail_io(from, "rename", errno);
}

std::vector<std::string> list_directory(const std::string& path) {
  std::error_code error;
  std::vector<std::string> names;
  for (fs::directory_iterator it(path, error), end; !error && it != end; it.increment(error)) {
    names.push_back(it->path().filename().string());
  }
  if (error) {
    const bool absent = error == std::errc::no_such_file_or_directory;
    fail(absent ? MOE_ERR_NOT_FOUND : MOE_ERR_IO, path, ": cannot list the folder: ", error.message());
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::string parent_directory(const std::string& path) {
  const std::string parent = fs::path(path).parent_path().string();
  return parent.empty() ? "." : parent;
}

std::string join_path(const std::string& folder, const std::string& name) {
  if (folder.empty() || folder == "." || name.starts_with('/')) return name;
  return folder.ends_with('/') ? folder + name : folder + "/" + name;
}

std::string file_name(const std::string& path) {
  return fs::path(path).filename().string();
}

std::string file_stem(const std::string& path) {
  return fs::path(path).stem().string();
}

uint32_t crc32(uint32_t seed, const void* data, size_t bytes) {
  return static_cast<uint32_t>(::crc32_z(seed, static_cast<const Bytef*>(data), bytes));
}

AtomicFile::AtomicFile(const std::string& path) : path_(path), temporary_(path + ".tmp") {
  descriptor_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (descriptor_ < 0) fail_io(temporary_, "create", errno);
}

AtomicFile::~AtomicFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

void AtomicFile::write(const void* data, size_t bytes) {
  write_all(descriptor_, temporary_, data, bytes);
}

void AtomicFile::commit() {
  if (::fsync(descriptor_) != 0) fail_io(temporary_, "sync", errno);
  const int closed = ::close(descriptor_);
  descriptor_ = -1;
  if (closed != 0) fail_io(temporary_, "close", errno);
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) fail_io(path_, "rename to", errno);
  temporary_.clear();
  const int folder = ::open(parent_directory(path_).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder < 0) return;  // the rename itself succeeded
  ::fsync(folder);
  ::close(folder);
}

void write_file_atomic(const std::string& path, std::string_view text) {
  AtomicFile file(path);
  file.write(text);
  file.commit();
}

AppendFile::AppendFile(const std::string& path) : path_(path) {
  descriptor_ = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (descriptor_ < 0) fail_io(path, "open for appending", errno);
}

AppendFile::~AppendFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

void AppendFile::line(std::string_view text) {
  std::string whole(text);
  whole += '\n';
  write_all(descriptor_, path_, whole.data(), whole.size());
}

FileLock::FileLock(const std::string& path) {
  descriptor_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (descriptor_ < 0) fail_io(path, "open", errno);
  if (::flock(descriptor_, LOCK_EX | LOCK_NB) == 0) return;
  ::close(descriptor_);
  fail(MOE_ERR_STATE, path, ": expected a run folder that no other process uses, got one in use");
}

FileLock::~FileLock() {
  ::close(descriptor_);
}

}  // namespace moe
