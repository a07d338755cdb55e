#include "base/zip_archive.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>

#include "base/error.h"
#include "base/files.h"

namespace moe {

static_assert(std::endian::native == std::endian::little, "numbers of an archive are read as they lie in memory");

namespace {

constexpr uint32_t kEndMark = 0x06054b50;
constexpr uint32_t kEnd64Mark = 0x06064b50;
constexpr uint32_t kLocator64Mark = 0x07064b50;
constexpr uint32_t kDirectoryMark = 0x02014b50;
constexpr uint32_t kLocalMark = 0x04034b50;
constexpr size_t kEndSize = 22, kEnd64Size = 56, kLocator64Size = 20, kDirectorySize = 46, kLocalSize = 30;
constexpr uint64_t kLargestComment = 65535;
constexpr uint64_t kLargestDirectory = 1 << 28;  // bytes: two million entries
constexpr uint16_t kZip64Field = 1;
constexpr uint16_t kStored = 0, kDeflated = 8;
constexpr uint32_t kIn64 = 0xffffffff;  // the number stands in the zip64 field

template <typename Number>
Number number_at(const std::string& bytes, size_t at) {
  Number out = 0;
  if (at + sizeof out <= bytes.size()) std::memcpy(&out, bytes.data() + at, sizeof out);
  return out;
}

}  // namespace

ZipArchive::ZipArchive(const std::string& path) : path_(path), descriptor_(::open(path.c_str(), O_RDONLY | O_CLOEXEC)) {
  const int error = errno;
  check(descriptor_ >= 0, error == ENOENT ? MOE_ERR_NOT_FOUND : MOE_ERR_IO, path,
        ": cannot open: ", std::strerror(error));
  try {
    struct stat info{};
    if (::fstat(descriptor_, &info) == 0) size_ = static_cast<uint64_t>(info.st_size);
    read_directory();
  } catch (...) {
    ::close(descriptor_);
    throw;
  }
}

ZipArchive::~ZipArchive() {
  ::close(descriptor_);
}

void ZipArchive::read_at(uint64_t offset, void* to, uint64_t bytes) const {
  check(offset <= size_ && bytes <= size_ - offset, MOE_ERR_DATA, path_, ": expected ", bytes, " bytes at ", offset,
        ", got a file of ", size_, ": the archive is cut short or damaged");
  char* next = static_cast<char*>(to);
  while (bytes > 0) {
    const ssize_t got = ::pread(descriptor_, next, std::min<uint64_t>(bytes, 1 << 24), static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    const int error = errno;
    check(got > 0, MOE_ERR_IO, path_, ": cannot read: ", got < 0 ? std::strerror(error) : "the file became shorter");
    next += got;
    offset += static_cast<uint64_t>(got);
    bytes -= static_cast<uint64_t>(got);
  }
}

std::string ZipArchive::read_at(uint64_t offset, uint64_t bytes) const {
  check(offset <= size_ && bytes <= size_ - offset, MOE_ERR_DATA, path_, ": expected ", bytes, " bytes at ", offset,
        ", got a file of ", size_, ": the archive is cut short or damaged");
  std::string out(bytes, '\0');
  read_at(offset, out.data(), bytes);
  return out;
}

// The directory's place stands at the end of the file, before a comment of unknown length.
void ZipArchive::read_directory() {
  const uint64_t tail_size = std::min<uint64_t>(size_, kEndSize + kLargestComment + kLocator64Size);
  const std::string tail = read_at(size_ - tail_size, tail_size);
  const std::string mark(reinterpret_cast<const char*>(&kEndMark), sizeof kEndMark);
  const size_t end = tail.rfind(mark);
  check(end != std::string::npos && end + kEndSize <= tail.size(), MOE_ERR_DATA, path_,
        ": expected a zip archive, got a file without its directory: it is cut short or none");
  uint64_t count = number_at<uint16_t>(tail, end + 10);
  uint64_t bytes = number_at<uint32_t>(tail, end + 12), offset = number_at<uint32_t>(tail, end + 16);
  if (end >= kLocator64Size && number_at<uint32_t>(tail, end - kLocator64Size) == kLocator64Mark) {
    const std::string end64 = read_at(number_at<uint64_t>(tail, end - kLocator64Size + 8), kEnd64Size);
    check(number_at<uint32_t>(end64, 0) == kEnd64Mark, MOE_ERR_DATA, path_,
          ": expected the archive's zip64 directory, got other bytes: the file is damaged");
    count = number_at<uint64_t>(end64, 32);
    bytes = number_at<uint64_t>(end64, 40);
    offset = number_at<uint64_t>(end64, 48);
  }
  check(bytes <= kLargestDirectory, MOE_ERR_DATA, path_, ": expected a directory of at most ", kLargestDirectory,
        " bytes, got ", bytes, ": the file is damaged");
  const std::string directory = read_at(offset, bytes);
  size_t at = 0;
  for (uint64_t i = 0; i < count; ++i) at = add_entry(directory, at);
}

// One entry of the directory at `at`; returns where the next one begins.
size_t ZipArchive::add_entry(const std::string& directory, size_t at) {
  const uint64_t names = number_at<uint16_t>(directory, at + 28), extra = number_at<uint16_t>(directory, at + 30);
  const uint64_t length = kDirectorySize + names + extra + number_at<uint16_t>(directory, at + 32);
  check(number_at<uint32_t>(directory, at) == kDirectoryMark && at + length <= directory.size(), MOE_ERR_DATA, path_,
        ": expected an entry of the archive's directory at byte ", at, ", got other bytes: the file is damaged");
  const std::string name = directory.substr(at + kDirectorySize, names);
  const uint16_t method = number_at<uint16_t>(directory, at + 10);
  check(method == kStored || method == kDeflated, MOE_ERR_DATA, path_, ": ", quote(name),
        ": expected a stored or deflated entry, got compression method ", method);
  Entry entry{number_at<uint32_t>(directory, at + 42), number_at<uint32_t>(directory, at + 20),
              number_at<uint32_t>(directory, at + 24), number_at<uint32_t>(directory, at + 16), method == kDeflated};
  size_t field = at + kDirectorySize + names;
  const size_t fields_end = field + extra;
  while (field + 4 <= fields_end) {
    const size_t size = number_at<uint16_t>(directory, field + 2);
    if (number_at<uint16_t>(directory, field) == kZip64Field) {  // in this order, those that did not fit alone
      size_t value = field + 4;
      const auto take = [&](uint64_t& out) {
        out = number_at<uint64_t>(directory, value);
        value += 8;
      };
      if (entry.size == kIn64) take(entry.size);
      if (entry.packed == kIn64) take(entry.packed);
      if (entry.header == kIn64) take(entry.header);
    }
    field += 4 + size;
  }
  entries_[name] = entry;
  return at + length;
}

const ZipArchive::Entry* ZipArchive::find(const std::string& name) const {
  const auto found = entries_.find(name);
  return found == entries_.end() ? nullptr : &found->second;
}

void ZipArchive::inflate_at(uint64_t offset, const std::string& name, const Entry& entry, void* to) const {
  std::string packed = read_at(offset, entry.packed);
  check(entry.packed < kIn64 && entry.size < kIn64, MOE_ERR_DATA, path_, ": ", quote(name),
        ": expected less than 4 GiB in a deflated entry, got ", entry.size, " bytes");
  z_stream stream{};
  stream.next_in = reinterpret_cast<Bytef*>(packed.data());
  stream.avail_in = static_cast<uInt>(entry.packed);
  stream.next_out = static_cast<Bytef*>(to);
  stream.avail_out = static_cast<uInt>(entry.size);
  check(inflateInit2(&stream, -MAX_WBITS) == Z_OK, MOE_ERR_OUT_OF_MEMORY, path_, ": zlib cannot begin");
  const int result = inflate(&stream, Z_FINISH);
  inflateEnd(&stream);
  check(result == Z_STREAM_END && stream.total_out == entry.size, MOE_ERR_DATA, path_, ": ", quote(name), ": expected ",
        entry.size, " deflated bytes, got other ones: the file is damaged");
}

void ZipArchive::read(const std::string& name, const Entry& entry, void* to) const {
  const std::string local = read_at(entry.header, kLocalSize);
  check(number_at<uint32_t>(local, 0) == kLocalMark, MOE_ERR_DATA, path_, ": ", quote(name),
        ": expected the header of the entry, got other bytes: the file is damaged");
  const uint64_t skip = kLocalSize + number_at<uint16_t>(local, 26) + number_at<uint16_t>(local, 28);
  if (entry.deflated) {
    inflate_at(entry.header + skip, name, entry, to);
  } else {
    read_at(entry.header + skip, to, entry.size);
  }
  if (entry.crc == 0) return;
  const uint32_t sum = crc32(crc32(0, nullptr, 0), to, entry.size);
  check(sum == entry.crc, MOE_ERR_DATA, path_, ": ", quote(name), ": expected CRC-32 ", entry.crc, ", got ", sum,
        ": the file is damaged");
}

// --- Writing ---

template <typename Number>
static void put(std::string& out, Number value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}

// What an entry's local header and its place in the directory say alike, from "version needed" to the name's length.
static void put_facts(std::string& out, const std::string& name, const std::string& bytes) {
  constexpr uint16_t version = 20, flags = 0, time = 0, first_of_january_1980 = 33;
  for (const uint16_t value : {version, flags, kStored, time, first_of_january_1980}) put(out, value);
  put(out, crc32(crc32(0, nullptr, 0), bytes.data(), bytes.size()));
  for (int i = 0; i < 2; ++i) put(out, static_cast<uint32_t>(bytes.size()));
  put(out, static_cast<uint16_t>(name.size()));
}

void write_zip(const std::string& path, const std::map<std::string, std::string>& entries) {
  std::string out, directory;
  for (const auto& [name, bytes] : entries) {
    check(out.size() + bytes.size() < kIn64, MOE_ERR_UNSUPPORTED, path, ": expected less than 4 GiB in all");
    put(directory, kDirectoryMark);
    put(directory, uint16_t{20});  // made by this version
    put_facts(directory, name, bytes);
    directory.append(12, '\0');  // no extra field, no comment, first disk, no attributes
    put(directory, static_cast<uint32_t>(out.size()));
    directory += name;
    put(out, kLocalMark);
    put_facts(out, name, bytes);
    put(out, uint16_t{0});
    out += name + bytes;
  }
  const auto start = static_cast<uint32_t>(out.size());
  out += directory;
  put(out, kEndMark);
  put(out, uint32_t{0});  // one disk
  for (int i = 0; i < 2; ++i) put(out, static_cast<uint16_t>(entries.size()));
  put(out, static_cast<uint32_t>(directory.size()));
  put(out, start);
  put(out, uint16_t{0});
  write_file_atomic(path, out);
}

}  // namespace moe
