#include "models/labelled_keys.h"

namespace moe {

// Shared keys with the defaults and choices of labelled pictures.
Schema labelled_keys() {
  using enum KeyType;
  return {
      {"data.format", text, "cifar10", "cifar10 | cifar100 | idx | image_folder",
       "Layout of the data set; cifar10 and cifar100: the binary form; idx: MNIST and its kin; image_folder: a folder "
       "for each class in that of the split."},
      {"data.classes", texts, "[]", "",
       "Names of the classes by label, which image_folder finds as folders; []: an unconditional model."},
      {"data.size", integers, "[32, 32]", ">= 1, <= 4096", "Height and width of the pictures, pixels."},
      {"data.resize", text, "stretch", "stretch | letterbox | pad | exact",
       "How a picture gets that size: ignoring its aspect ratio; keeping it, centred on black; not scaled, centred on "
       "black; not at all: another size is an error."},
  };
}

std::vector<int64_t> picture_size(const Config& config) {
  std::vector<int64_t> size = config.integers("data.size");
  if (size.size() != 2) config.fail_at("data.size", text("expected [height, width], got ", size.size(), " numbers"));
  return size;
}

}  // namespace moe
