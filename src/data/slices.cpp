#include "data/slices.h"

#include <ATen/ATen.h>

#include <cmath>
#include <cstring>

namespace moe {

// Starts of the windows along one axis, evenly spread.
static std::vector<int64_t> starts(int64_t length, int64_t side, double overlap) {
  if (length <= side) return {0};
  const auto step = std::max(1.0, std::floor(static_cast<double>(side) * (1 - overlap)));
  const auto last = static_cast<int64_t>(std::ceil(static_cast<double>(length - side) / step));
  std::vector<int64_t> out;
  for (int64_t i = 0; i <= last; ++i) out.push_back(i * (length - side) / last);
  return out;
}

at::Tensor plan_slices(ImageSize picture, int64_t side, double overlap) {
  std::vector<int64_t> rows;
  const std::vector<int64_t> columns = starts(picture.width, side, overlap);
  for (const int64_t y : starts(picture.height, side, overlap)) {
    for (const int64_t x : columns) {
      rows.insert(rows.end(), {x, y, std::min(x + side, picture.width), std::min(y + side, picture.height)});
    }
  }
  if (rows.size() == 4) rows.clear();
  return at::tensor(rows, at::kLong).view({-1, 4});
}

Image cut_slice(const at::Tensor& pixels, const at::Tensor& window) {
  const at::Tensor dense = window.contiguous(), rows = pixels.contiguous();
  const int64_t* w = dense.const_data_ptr<int64_t>();
  const int64_t width = rows.size(1);
  Image out(w[2] - w[0], w[3] - w[1]);
  for (int64_t y = 0; y < out.height; ++y) {
    const uint8_t* from = rows.const_data_ptr<uint8_t>() + ((w[1] + y) * width + w[0]) * 3;
    std::memcpy(out.at(0, y), from, static_cast<size_t>(out.width) * 3);
  }
  return out;
}

}  // namespace moe
