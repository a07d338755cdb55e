#include "data/labelled_source.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "base/error.h"
#include "base/files.h"
#include "data/transform.h"

namespace moe {

bool is_labelled_format(const std::string& format) {
  return format == "cifar10" || format == "cifar100" || format == "idx" || format == "image_folder";
}

// --- The source ---

LabelledSource::LabelledSource(LabelledSet set, LabelledOptions options)
    : set_(std::move(set)), options_(std::move(options)), notes_(std::move(options_.notes)) {}

BatchSpec LabelledSource::spec() const {
  using enum FieldSpec::Layout;
  const auto [height, width] = options_.size;
  return {{.name = "images",
           .dtype = at::kFloat,
           .shape = {options_.channels, height, width},
           .doc = "RGB or grey in 0..1"},
          {.name = "labels", .dtype = at::kLong, .shape = {}, .doc = "class index"},
          {.name = "image_ids", .dtype = at::kLong, .shape = {}, .doc = "number in the split, from 1"}};
}

const LabelledPicture& LabelledSource::picture(int64_t index) const {
  check(index >= 0 && index < size(), MOE_ERR_INTERNAL, "sample: expected 0 to ", size() - 1, ", got ", index);
  return set_.pictures[static_cast<size_t>(index)];
}

std::vector<Note> LabelledSource::take_notes() const {
  const std::lock_guard lock(notes_mutex_);
  return std::exchange(notes_, {});
}

static Image padded(const Image& image, ImageSize size) {
  Image out(size.width, size.height);
  const int64_t left = (size.width - image.width) / 2, top = (size.height - image.height) / 2;
  for (int64_t y = 0; y < image.height; ++y) {
    std::copy_n(image.at(0, y), image.width * 3, out.at(left, top + y));
  }
  return out;
}

static void check_fit(const LabelledPicture& picture, const Image& image, const LabelledOptions& options) {
  const auto [height, width] = options.size;
  const bool equal = image.width == width && image.height == height;
  const bool inside = image.width <= width && image.height <= height;
  check(equal || options.fit != PictureFit::exact, MOE_ERR_DATA, picture.name, ": expected ", width, " x ", height,
        " pixels, as data.size with data.resize: exact says, got ", image.width, " x ", image.height);
  check(inside || options.fit != PictureFit::pad, MOE_ERR_DATA, picture.name, ": expected at most ", width, " x ",
        height, " pixels with data.resize: pad, got ", image.width, " x ", image.height, "; use stretch or letterbox");
}

// [3, H, W] -> [1, H, W]. In float64, so that equal channels give exactly their value.
static at::Tensor luma(const at::Tensor& rgb) {
  const at::Tensor weights = at::tensor({0.299, 0.587, 0.114}, at::kDouble).view({3, 1, 1});
  return (rgb.to(at::kDouble) * weights).sum(0, /*keepdim=*/true).to(at::kFloat);
}

Batch LabelledSource::load(int64_t index, Rng rng) const {
  const LabelledPicture& chosen = picture(index);
  Image image = chosen.image.pixels.empty() ? read_image(chosen.name) : chosen.image;
  check_fit(chosen, image, options_);
  if (options_.fit == PictureFit::pad) image = padded(image, options_.size);
  const Fit fit = options_.fit == PictureFit::letterbox ? Fit::letterbox : Fit::stretch;
  const InputTransform transform({image.height, image.width}, options_.size, fit);
  const at::Tensor pixels = transform.pixels(image, rng.child("flip").chance(options_.flip));
  Batch batch;
  batch.set("images", options_.channels == 1 ? luma(pixels) : pixels);
  batch.set("labels", at::scalar_tensor(chosen.label, at::kLong));
  batch.set("image_ids", at::scalar_tensor(index + 1, at::kLong));
  return batch;
}

// --- From the config ---

static std::string root_of(const Config& config, const std::string& split) {
  const std::string own = "data." + split + ".root", key = config.text(own).empty() ? "data.root" : own;
  const std::string root = config.text(key);
  if (root.empty()) config.fail_at("data.root", "expected the folder of the data set, got none");
  check(is_directory(root), MOE_ERR_NOT_FOUND, config.origin(key), ": ", key,
        ": expected the folder of the data set, got ", quote(root), ", no such folder");
  return root;
}

static LabelledSet read_idx_split(const Config& config, const std::string& root, const std::string& split) {
  const std::string stem = split == "train" ? "train" : "t10k", section = "data." + split + ".";
  std::string images = config.text(section + "images"), labels = config.text(section + "labels");
  if (images.empty()) images = stem + "-images-idx3-ubyte";
  if (labels.empty()) labels = stem + "-labels-idx1-ubyte";
  return read_idx(join_path(root, images), join_path(root, labels));
}

static LabelledSet read_format(const Config& config, const std::string& root, const std::string& split) {
  const std::string format = config.text("data.format");
  if (format == "cifar10") return read_cifar10(root, split == "train");
  if (format == "cifar100") return read_cifar100(root, split == "train");
  if (format == "idx") return read_idx_split(config, root, split);
  return read_image_folder(join_path(root, config.text("data." + split + ".split")), config.texts("data.classes"));
}

static void check_labels(const LabelledSet& set, const std::vector<std::string>& classes) {
  if (classes.empty()) return;
  const auto count = static_cast<int64_t>(classes.size());
  for (const LabelledPicture& picture : set.pictures) {
    check(picture.label < count, MOE_ERR_DATA, picture.name, ": expected a label in 0..", count - 1,
          " for the names of data.classes, got ", picture.label);
  }
}

LabelledSet read_labelled_set(const Config& config, const std::string& split) {
  LabelledSet set = read_format(config, root_of(config, split), split);
  const std::vector<std::string> classes = config.texts("data.classes");
  check_labels(set, classes);
  if (!classes.empty()) set.classes = classes;
  return set;
}

// The same pictures for the same seed, in their old order.
static void keep_subset(LabelledSet& set, const Config& config, const std::string& key, std::vector<Note>& notes) {
  const int64_t wanted = config.integer(key), all = static_cast<int64_t>(set.pictures.size());
  if (wanted == 0 || wanted >= all) return;
  Rng rng(static_cast<uint64_t>(config.integer("seed")), "subset");
  std::vector<int64_t> chosen = permutation(rng, all);
  chosen.resize(static_cast<size_t>(wanted));
  std::sort(chosen.begin(), chosen.end());
  std::vector<LabelledPicture> kept;
  for (const int64_t index : chosen) kept.push_back(std::move(set.pictures[static_cast<size_t>(index)]));
  set.pictures = std::move(kept);
  notes.push_back({MOE_LOG_INFO, text(key, ": ", wanted, " of ", all, " pictures, drawn by seed")});
}

static PictureFit fit_of(const Config& config) {
  const std::string name = config.text("data.resize");
  if (name == "letterbox") return PictureFit::letterbox;
  if (name == "pad") return PictureFit::pad;
  return name == "exact" ? PictureFit::exact : PictureFit::stretch;
}

std::unique_ptr<Source> open_labelled_source(const Config& config, const std::string& split) {
  const std::vector<int64_t> size = config.integers("data.size");
  if (size.size() != 2) config.fail_at("data.size", text("expected [height, width], got ", size.size(), " numbers"));
  LabelledSet set = read_labelled_set(config, split);
  LabelledOptions options;
  options.size = {size[0], size[1]};
  options.fit = fit_of(config);
  options.channels = config.integer("data.channels");
  if (split == "train") options.flip = config.number("data.augment.flip");
  keep_subset(set, config, split == "train" ? "data.subset" : "data.val.subset", options.notes);
  options.notes.push_back({MOE_LOG_INFO, text("data, ", split, ": ", set.pictures.size(), " pictures, ",
                                              set.classes.size(), " named classes")});
  return std::make_unique<LabelledSource>(std::move(set), std::move(options));
}

}  // namespace moe
