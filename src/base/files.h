// Files: whole reads, atomic writes, appended logs. Every failure is an Error with the path and the system's reason.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace moe {

bool exists(const std::string& path);
bool is_directory(const std::string& path);
int64_t file_size(const std::string& path);
std::string read_file(const std::string& path);  // MOE_ERR_NOT_FOUND or MOE_ERR_IO
void make_directories(const std::string& path);
void remove_file(const std::string& path);  // absent is fine
void rename_file(const std::string& from, const std::string& to);
std::vector<std::string> list_directory(const std::string& path);           // names, sorted bytewise
std::string parent_directory(const std::string& path);                      // "." when there is none
std::string join_path(const std::string& folder, const std::string& name);  // an absolute name stays as it is
std::string file_name(const std::string& path);
std::string file_stem(const std::string& path);

uint32_t crc32(uint32_t seed, const void* data, size_t bytes);  // zlib's

// A file that appears whole under its name, or not at all: written to "<path>.tmp", synced, renamed, folder synced.
class AtomicFile {
 public:
  explicit AtomicFile(const std::string& path);
  ~AtomicFile();  // without commit(): the temporary file is removed
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void write(const void* data, size_t bytes);
  void write(std::string_view text) { write(text.data(), text.size()); }
  void commit();

 private:
  std::string path_;
  std::string temporary_;
  int descriptor_ = -1;
};

void write_file_atomic(const std::string& path, std::string_view text);

// A log that grows line by line. After a kill the last line may be cut.
class AppendFile {
 public:
  explicit AppendFile(const std::string& path);
  ~AppendFile();
  AppendFile(const AppendFile&) = delete;
  AppendFile& operator=(const AppendFile&) = delete;

  void line(std::string_view text);  // appends the text and a newline with one write call

 private:
  std::string path_;
  int descriptor_ = -1;
};

// An exclusive lock on a file; MOE_ERR_STATE when another process holds it. Released when the object or the process
// ends.
class FileLock {
 public:
  explicit FileLock(const std::string& path);
  ~FileLock();
  FileLock(const FileLock&) = delete;
  FileLock& operator=(const FileLock&) = delete;

 private:
  int descriptor_ = -1;
};

}  // namespace moe
