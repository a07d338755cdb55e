// JPEG by TurboJPEG 2.1 (tj* calls). CMYK and YCCK are refused: their conversion to RGB differs between programs.
// "Premature end" is an error and other decoder warnings are not, as in Pillow.
#include <turbojpeg.h>

#include <memory>

#include "base/error.h"
#include "image/codec.h"

namespace moe {

struct HandleFree {
  void operator()(void* handle) const { tjDestroy(handle); }
};
using Handle = std::unique_ptr<void, HandleFree>;

static Handle open_handle(tjhandle handle) {
  check(handle != nullptr, MOE_ERR_INTERNAL, "TurboJPEG: ", tjGetErrorStr2(nullptr));
  return Handle(handle);
}

static const unsigned char* data_of(std::string_view bytes) {
  return reinterpret_cast<const unsigned char*>(bytes.data());
}

// libjpeg keeps the text of the first warning only, so after another warning the end of the image is looked for here.
// Inside entropy-coded data 0xFF is followed by 0 or a restart marker, so these byte pairs are markers.
static bool ends_early(std::string_view bytes, std::string_view warning) {
  if (warning.find("Premature end") != std::string_view::npos) return true;
  const size_t scan = bytes.rfind("\xFF\xDA");
  const size_t end = bytes.rfind("\xFF\xD9");
  return end == std::string_view::npos || (scan != std::string_view::npos && end < scan);
}

static void check_decoded(void* handle, int result, std::string_view bytes, const std::string& name) {
  if (result == 0) return;
  const std::string reason = tjGetErrorStr2(handle);
  const bool warning = tjGetErrorCode(handle) == TJERR_WARNING;
  if (warning && !ends_early(bytes, reason)) return;
  fail(MOE_ERR_DATA, name, ": expected a whole JPEG, got ", bytes.size(),
       " bytes: ", warning ? "premature end of the file" : reason);
}

static ImageSize read_header(void* handle, std::string_view bytes, const std::string& name) {
  int width = 0, height = 0, subsampling = 0, space = 0;
  const int result = tjDecompressHeader3(handle, data_of(bytes), bytes.size(), &width, &height, &subsampling, &space);
  const bool readable = result == 0 || tjGetErrorCode(handle) == TJERR_WARNING;
  check(readable, MOE_ERR_DATA, name, ": expected a JPEG header, got ", bytes.size(),
        " bytes: ", tjGetErrorStr2(handle));
  check(space != TJCS_CMYK && space != TJCS_YCCK, MOE_ERR_DATA, name, ": expected a grey, YCbCr or RGB JPEG, got ",
        space == TJCS_CMYK ? "CMYK" : "YCCK", "; convert it to RGB");
  const ImageSize size{height, width};
  check_image_size(size, name);
  return size;
}

ImageSize jpeg_size(std::string_view bytes, const std::string& name) {
  return read_header(open_handle(tjInitDecompress()).get(), bytes, name);
}

Image decode_jpeg(std::string_view bytes, const std::string& name) {
  const Handle handle = open_handle(tjInitDecompress());
  const ImageSize size = read_header(handle.get(), bytes, name);
  Image image(size.width, size.height);
  const int result = tjDecompress2(handle.get(), data_of(bytes), bytes.size(), image.pixels.data(),
                                   static_cast<int>(size.width), 0, static_cast<int>(size.height), TJPF_RGB, 0);
  check_decoded(handle.get(), result, bytes, name);
  return image;
}

struct BufferFree {
  void operator()(unsigned char* buffer) const { tjFree(buffer); }
};

std::string encode_jpeg(const Image& image, int quality) {
  check(quality >= 1 && quality <= 100, MOE_ERR_INVALID_ARGUMENT, "JPEG quality: expected 1 to 100, got ", quality);
  const Handle handle = open_handle(tjInitCompress());
  unsigned char* raw = nullptr;
  unsigned long bytes = 0;
  const int result = tjCompress2(handle.get(), image.pixels.data(), static_cast<int>(image.width), 0,
                                 static_cast<int>(image.height), TJPF_RGB, &raw, &bytes, TJSAMP_420, quality, 0);
  const std::unique_ptr<unsigned char, BufferFree> buffer(raw);
  check(result == 0, MOE_ERR_INVALID_ARGUMENT, "JPEG of ", image.width, " x ", image.height,
        " pixels: ", tjGetErrorStr2(handle.get()));
  return std::string(reinterpret_cast<const char*>(raw), bytes);
}

}  // namespace moe
