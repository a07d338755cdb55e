// moe_loader: batches of a built-in data set.
#include "data/loader.h"

#include "buffers.h"
#include "guard.h"
#include "handles.h"

using namespace moe;
using namespace moe::capi;

static moe_loader* make_loader(std::shared_ptr<const Source> source, const LoaderOptions& options) {
  std::unordered_map<int64_t, int64_t> index_of_image;
  for (int64_t i = 0; i < source->size(); ++i) index_of_image.emplace(source->image_id(i), i);
  return new moe_loader{source, Loader(source, options, {}), std::move(index_of_image)};
}

static std::vector<std::string> file_names(const char* const* paths, size_t count) {
  check(count > 0, MOE_ERR_INVALID_ARGUMENT, "count: expected at least 1 file, got 0");
  std::vector<std::string> names;
  for (size_t i = 0; i < count; ++i) {
    check(paths[i] != nullptr, MOE_ERR_INVALID_ARGUMENT, "paths[", i, "]: expected a file name, got NULL");
    names.emplace_back(paths[i]);
  }
  return names;
}

extern "C" {

moe_status moe_loader_create(const moe_config* config, const char* split, moe_loader** out) {
  return guard([&] {
    require(config, "config");
    const std::string name(required_text(split, "split"));
    require(out, "out");
    check(name == "train" || name == "val", MOE_ERR_INVALID_ARGUMENT, "split: expected \"train\" or \"val\", got ",
          quote(name));
    *out = make_loader(open_source(config->config, name), loader_options(config->config, name == "train"));
  });
}

moe_status moe_loader_create_files(const moe_config* config, const char* const* paths, size_t count, moe_loader** out) {
  return guard([&] {
    require(config, "config");
    require(paths, "paths");
    require(out, "out");
    LoaderOptions options = loader_options(config->config, false);
    options.max_broken = static_cast<int64_t>(count);  // a picture that cannot be read spoils none of the others
    *out = make_loader(open_files(config->config, file_names(paths, count)), options);
  });
}

moe_status moe_loader_next(moe_loader* loader, moe_batch* batch) {
  return guard([&]() -> moe_status {
    require(loader, "loader");
    require(batch, "batch");
    std::optional<Batch> next = loader->loader.next();
    batch->batch = next ? std::move(*next) : Batch();
    return next ? MOE_OK : MOE_END;
  });
}

moe_status moe_loader_set_log(moe_loader* loader, moe_log_fn log_fn, void* user) {
  return guard([&] {
    require(loader, "loader");
    loader->loader.set_log(make_log(log_fn, user));
  });
}

moe_status moe_loader_size(const moe_loader* loader, int64_t* samples, int64_t* batches) {
  return guard([&] {
    require(loader, "loader");
    if (samples) *samples = loader->loader.samples();
    if (batches) *batches = loader->loader.batches();
  });
}

moe_status moe_loader_file_name(const moe_loader* loader, int64_t image_id, char* buffer, size_t capacity,
                                size_t* needed) {
  return guard([&] {
    require(loader, "loader");
    const auto found = loader->index_of_image.find(image_id);
    check(found != loader->index_of_image.end(), MOE_ERR_NOT_FOUND, "image_id: expected one of the ",
          loader->index_of_image.size(), " ids of this split, got ", image_id);
    write_text(loader->source->file_name(found->second), buffer, capacity, needed);
  });
}

moe_status moe_loader_broken(const moe_loader* loader, int64_t* out) {
  return guard([&] {
    require(loader, "loader");
    require(out, "out");
    *out = loader->loader.broken();
  });
}

void moe_loader_free(moe_loader* loader) {
  destroy(loader);
}

}  // extern "C"
