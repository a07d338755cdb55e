// A picture in memory and its files. Nothing here knows tensors.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace moe {

// RGB, 8 bits a channel, rows top to bottom, interleaved: pixel (x, y) starts at (y * width + x) * 3.
struct Image {
  int64_t width = 0;
  int64_t height = 0;
  std::vector<uint8_t> pixels;

  Image() = default;
  Image(int64_t w, int64_t h) : width(w), height(h), pixels(static_cast<size_t>(w * h * 3)) {}
  uint8_t* at(int64_t x, int64_t y) { return pixels.data() + (y * width + x) * 3; }
  const uint8_t* at(int64_t x, int64_t y) const { return pixels.data() + (y * width + x) * 3; }
};

struct ImageSize {
  int64_t height;
  int64_t width;
};

// Decodes JPEG (grey, YCbCr, RGB; premature end is an error, other decoder warnings are not) or PNG (any type, alpha dropped),
// told apart by their first bytes. Throws MOE_ERR_DATA naming the file: expected, got.
Image decode_image(std::string_view bytes, const std::string& name);
Image read_image(const std::string& path);
ImageSize read_image_size(const std::string& path);  // from the header alone

std::string encode_png(const Image& image);
std::string encode_jpeg(const Image& image, int quality);
void write_png(const std::string& path, const Image& image);    // atomic
void write_jpeg(const std::string& path, const Image& image, int quality);

}  // namespace moe
