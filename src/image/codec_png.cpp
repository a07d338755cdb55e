// PNG by libpng's simplified API: every colour type and depth becomes 8-bit RGB; alpha is dropped, not blended, as
// Pillow does.
#include <png.h>

#include <cstring>

#include "base/error.h"
#include "image/codec.h"

namespace moe {

// A png_image that frees what libpng hangs on it.
struct PngReader {
  png_image image{};

  PngReader(std::string_view bytes, const std::string& name) {
    image.version = PNG_IMAGE_VERSION;
    const int good = png_image_begin_read_from_memory(&image, bytes.data(), bytes.size());
    check(good != 0, MOE_ERR_DATA, name, ": expected a PNG header, got ", bytes.size(), " bytes: ", image.message);
    check_image_size(size(), name);
  }
  ~PngReader() { png_image_free(&image); }
  PngReader(const PngReader&) = delete;
  PngReader& operator=(const PngReader&) = delete;

  ImageSize size() const { return {image.height, image.width}; }
};

ImageSize png_size(std::string_view bytes, const std::string& name) {
  return PngReader(bytes, name).size();
}

Image decode_png(std::string_view bytes, const std::string& name) {
  PngReader reader(bytes, name);
  // Read with alpha even when it is not wanted: without, libpng would blend with a background colour.
  reader.image.format = PNG_FORMAT_RGBA;
  // 16-bit files without a gamma chunk hold display values, not linear light.
  reader.image.flags |= PNG_IMAGE_FLAG_16BIT_sRGB;
  std::vector<uint8_t> rgba(PNG_IMAGE_SIZE(reader.image));
  const ImageSize size = reader.size();
  const int good = png_image_finish_read(&reader.image, nullptr, rgba.data(), 0, nullptr);
  check(good != 0, MOE_ERR_DATA, name, ": expected a whole PNG, got ", bytes.size(), " bytes: ", reader.image.message);
  Image image(size.width, size.height);
  for (int64_t i = 0; i < size.width * size.height; ++i)
    std::memcpy(image.pixels.data() + i * 3, rgba.data() + i * 4, 3);
  return image;
}

std::string encode_png(const Image& image) {
  png_image writer{};
  writer.version = PNG_IMAGE_VERSION;
  writer.width = static_cast<png_uint_32>(image.width);
  writer.height = static_cast<png_uint_32>(image.height);
  writer.format = PNG_FORMAT_RGB;
  png_alloc_size_t bytes = 0;
  int good = png_image_write_to_memory(&writer, nullptr, &bytes, 0, image.pixels.data(), 0, nullptr);
  std::string out(good ? bytes : 0, '\0');
  if (good) good = png_image_write_to_memory(&writer, out.data(), &bytes, 0, image.pixels.data(), 0, nullptr);
  const std::string reason = writer.message;
  png_image_free(&writer);
  check(good != 0, MOE_ERR_INVALID_ARGUMENT, "PNG of ", image.width, " x ", image.height, " pixels: ", reason);
  out.resize(bytes);
  return out;
}

}  // namespace moe
