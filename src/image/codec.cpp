// Tells JPEG and PNG apart by their first bytes, and reads and writes picture files. The formats are in codec_jpeg.cpp
// and codec_png.cpp.
#include "image/codec.h"

#include <fstream>

#include "base/error.h"
#include "base/files.h"

namespace moe {

static constexpr int64_t kMaxSide = 20000;          // pixels
static constexpr int64_t kMaxPixels = 400'000'000;  // 1.2 GB of RGB
static constexpr size_t kHeaderBytes = 64 * 1024;   // holds the header of nearly every file

enum class Format { jpeg, png };

static Format recognise(std::string_view bytes, const std::string& name) {
  if (bytes.substr(0, 3) == "\xFF\xD8\xFF") return Format::jpeg;
  if (bytes.substr(0, 8) == "\x89PNG\r\n\x1A\n") return Format::png;
  check(!bytes.empty(), MOE_ERR_DATA, name, ": expected a JPEG or PNG, got an empty file");
  static const char digits[] = "0123456789abcdef";
  std::string start;
  for (const char c : bytes.substr(0, 8)) {
    const auto byte = static_cast<unsigned char>(c);
    start += start.empty() ? "" : " ";
    start += digits[byte >> 4];
    start += digits[byte & 15];
  }
  fail(MOE_ERR_DATA, name, ": expected a JPEG or PNG, got ", bytes.size(), " bytes that start with ", start);
}

void check_image_size(ImageSize size, const std::string& name) {
  const bool sides = size.width >= 1 && size.height >= 1 && size.width <= kMaxSide && size.height <= kMaxSide;
  check(sides && size.width * size.height <= kMaxPixels, MOE_ERR_DATA, name, ": expected a picture of at most ",
        kMaxSide, " x ", kMaxSide, " and ", kMaxPixels, " pixels, got a header that says ", size.width, " x ",
        size.height);
}

Image decode_image(std::string_view bytes, const std::string& name) {
  return recognise(bytes, name) == Format::jpeg ? decode_jpeg(bytes, name) : decode_png(bytes, name);
}

Image read_image(const std::string& path) {
  return decode_image(read_file(path), path);
}

static ImageSize size_of(std::string_view bytes, const std::string& name) {
  return recognise(bytes, name) == Format::jpeg ? jpeg_size(bytes, name) : png_size(bytes, name);
}

ImageSize read_image_size(const std::string& path) {
  std::string head(kHeaderBytes, '\0');
  std::ifstream file(path, std::ios::binary);
  file.read(head.data(), static_cast<std::streamsize>(head.size()));
  head.resize(static_cast<size_t>(file.gcount()));
  if (head.size() == kHeaderBytes) {
    try {
      return size_of(head, path);
    } catch (const Error&) {
      // Camera notes or colour profiles can push the size further back: look at the whole file.
    }
  }
  return size_of(read_file(path), path);
}

void write_png(const std::string& path, const Image& image) {
  write_file_atomic(path, encode_png(image));
}

void write_jpeg(const std::string& path, const Image& image, int quality) {
  write_file_atomic(path, encode_jpeg(image, quality));
}

}  // namespace moe
