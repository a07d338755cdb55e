#include <zlib.h>

#include <memory>

#include "base/error.h"
#include "base/files.h"
#include "data/labelled_set.h"

namespace moe {

static std::string with_gz(const std::string& path) {
  return exists(path) || !exists(path + ".gz") ? path : path + ".gz";
}

// The bytes of a plain or gzip file: zlib reads both.
static std::string read_unpacked(const std::string& path) {
  check(exists(path), MOE_ERR_NOT_FOUND, path, ": expected an IDX file, found none");
  const std::unique_ptr<gzFile_s, int (*)(gzFile)> file(gzopen(path.c_str(), "rb"), gzclose);
  check(file != nullptr, MOE_ERR_IO, path, ": cannot open the file");
  std::string out;
  std::vector<char> block(1 << 20);
  int count = 0;
  while ((count = gzread(file.get(), block.data(), static_cast<unsigned>(block.size()))) > 0) {
    out.append(block.data(), static_cast<size_t>(count));
  }
  int state = Z_OK;
  gzerror(file.get(), &state);
  check(count == 0 && (state == Z_OK || state == Z_STREAM_END), MOE_ERR_DATA, path,
        ": expected a whole gzip file, got one that is cut or damaged");
  return out;
}

static uint32_t big_endian(const std::string& bytes, size_t at) {
  uint32_t value = 0;
  for (size_t i = 0; i < 4; ++i) value = value << 8 | static_cast<unsigned char>(bytes[at + i]);
  return value;
}

// Header: 0, 0, 8 (unsigned bytes), number of dimensions; then each size in four bytes. Returns the sizes.
static std::vector<int64_t> idx_sizes(const std::string& bytes, const std::string& path, size_t dimensions) {
  const size_t header = 4 + 4 * dimensions;
  const uint32_t magic = bytes.size() < header ? 0 : big_endian(bytes, 0);
  check(magic == 0x800 + dimensions, MOE_ERR_DATA, path, ": expected an IDX file of ", dimensions,
        " dimensions of bytes (magic number ", 0x800 + dimensions, "), got magic number ", magic);
  std::vector<int64_t> sizes;
  int64_t bytes_wanted = static_cast<int64_t>(header), product = 1;
  for (size_t i = 0; i < dimensions; ++i) {
    sizes.push_back(big_endian(bytes, 4 + 4 * i));
    check(sizes.back() <= 1'000'000'000 / std::max<int64_t>(1, product), MOE_ERR_DATA, path,
          ": expected less than 10^9 bytes, got a size of ", sizes.back());
    product *= sizes.back();
  }
  bytes_wanted += product;
  check(static_cast<int64_t>(bytes.size()) == bytes_wanted, MOE_ERR_DATA, path, ": expected ", bytes_wanted,
        " bytes as its header says, got ", bytes.size());
  return sizes;
}

static Image grey(const char* bytes, int64_t height, int64_t width) {
  Image image(width, height);
  for (int64_t i = 0; i < height * width; ++i) {
    for (int64_t c = 0; c < 3; ++c) {
      image.pixels[static_cast<size_t>(3 * i + c)] = static_cast<uint8_t>(bytes[i]);
    }
  }
  return image;
}

LabelledSet read_idx(const std::string& images, const std::string& labels) {
  const std::string image_path = with_gz(images), label_path = with_gz(labels);
  const std::string pixels = read_unpacked(image_path), ids = read_unpacked(label_path);
  const std::vector<int64_t> sizes = idx_sizes(pixels, image_path, 3);
  const int64_t count = idx_sizes(ids, label_path, 1)[0], area = sizes[1] * sizes[2];
  check(count == sizes[0], MOE_ERR_DATA, label_path, ": expected ", sizes[0], " labels for the pictures of ",
        image_path, ", got ", count);
  check(count > 0 && area > 0, MOE_ERR_DATA, image_path, ": expected at least one picture, got none");
  LabelledSet set;
  for (int64_t i = 0; i < count; ++i) {
    set.pictures.push_back({text(image_path, ", picture ", i),
                            static_cast<unsigned char>(ids[static_cast<size_t>(8 + i)]),
                            grey(pixels.data() + 16 + i * area, sizes[1], sizes[2])});
  }
  return set;
}

}  // namespace moe
