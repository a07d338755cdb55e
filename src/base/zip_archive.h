// A zip archive of stored or deflated entries, as torch.save and numpy.savez write it: found through the central
// directory, checked by CRC-32 (an entry with sum 0 carries none). It does not decrypt. Format: PKWARE's APPNOTE, with
// zip64.
#pragma once

#include <cstdint>
#include <map>
#include <string>

namespace moe {

class ZipArchive {
 public:
  // MOE_ERR_NOT_FOUND, MOE_ERR_IO, MOE_ERR_DATA (no zip archive, cut short).
  explicit ZipArchive(const std::string& path);
  ~ZipArchive();
  ZipArchive(const ZipArchive&) = delete;
  ZipArchive& operator=(const ZipArchive&) = delete;

  struct Entry {
    uint64_t header = 0;  // offset of its local header
    uint64_t packed = 0;  // bytes in the archive
    uint64_t size = 0;    // bytes
    uint32_t crc = 0;
    bool deflated = false;
  };
  const std::map<std::string, Entry>& entries() const { return entries_; }
  const Entry* find(const std::string& name) const;  // nullptr when absent
  // The whole entry into `to`, which holds entry.size bytes. MOE_ERR_DATA when the sum differs.
  void read(const std::string& name, const Entry& entry, void* to) const;

 private:
  void read_at(uint64_t offset, void* to, uint64_t bytes) const;
  void inflate_at(uint64_t offset, const std::string& name, const Entry& entry, void* to) const;
  std::string read_at(uint64_t offset, uint64_t bytes) const;
  void read_directory();
  size_t add_entry(const std::string& directory, size_t at);

  std::string path_;
  int descriptor_ = -1;
  uint64_t size_ = 0;
  std::map<std::string, Entry> entries_;
};

// Writes an archive of stored entries, by name, whole or not at all. Together below 4 GiB.
void write_zip(const std::string& path, const std::map<std::string, std::string>& entries);

}  // namespace moe
