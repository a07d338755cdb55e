// What the decoders share. A decoder gets the whole file in memory and the name to put into errors, and returns RGB
// pixels.
#pragma once

#include <string>
#include <string_view>

#include "image/image.h"

namespace moe {

Image decode_jpeg(std::string_view bytes, const std::string& name);
ImageSize jpeg_size(std::string_view bytes, const std::string& name);
Image decode_png(std::string_view bytes, const std::string& name);
ImageSize png_size(std::string_view bytes, const std::string& name);

// Refuses, before memory is asked for, a size that only a broken or hostile header states.
void check_image_size(ImageSize size, const std::string& name);

}  // namespace moe
