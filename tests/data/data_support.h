// What the data tests share: a config with the data keys, small data sets written to a folder, the real sets where they
// lie.
#pragma once

#include "support/test.h"

#include <string>
#include <vector>

#include "base/files.h"
#include "data/loader.h"
#include "data/source.h"
#include "image/image.h"

namespace moe {

inline Schema test_schema(const std::string&) {
  Schema schema = {{"task", KeyType::text, "", "", "Task."},
                   {"seed", KeyType::integer, "0", ">= 0", "Seed."},
                   {"train.batch_size", KeyType::integer, "4", ">= 1", "Batch size."}};
  const Schema data = data_schema();
  schema.insert(schema.end(), data.begin(), data.end());
  return schema;
}

using Settings = std::vector<std::pair<std::string, std::string>>;

inline Config test_config(const Settings& settings) {
  Config config = Config::parse("task: test", "test.yml", test_schema);
  for (const auto& [key, value] : settings) config.set(key, value);
  return config;
}

// The folder of a real data set, or "" (said aloud) when it is not there.
inline std::string real_set(const std::string& name) {
  const char* folder = std::getenv("MOE_DATA_DIR");
  const char* source = std::getenv("MOE_SOURCE_DIR");
  const std::string path =
      (folder ? std::string(folder) : std::string(source ? source : ".") + "/../shared/data") + "/" + name;
  if (is_directory(path)) return path;
  std::printf("SKIPPED: no data set %s (MOE_DATA_DIR names the folder that holds it)\n", path.c_str());
  return "";
}

inline std::string fixture(const std::string& name) {
  const char* source = std::getenv("MOE_SOURCE_DIR");
  return std::string(source ? source : ".") + "/tests/fixtures/image/" + name;
}

// A picture whose pixels tell which one it is.
inline Image numbered_picture(int64_t width, int64_t height, int64_t number) {
  Image image(width, height);
  for (size_t i = 0; i < image.pixels.size(); ++i) {
    image.pixels[i] = static_cast<uint8_t>((static_cast<int64_t>(i) * (number + 3) + 17 * number) % 251);
  }
  return image;
}

inline std::string dair_object(const std::string& type, const std::string& x0, const std::string& y0,
                               const std::string& x1, const std::string& y1) {
  return "{\"type\":\"" + type + "\",\"occluded_state\":\"0\",\"truncated_state\":\"0\",\"2d_box\":{\"xmin\":\"" + x0 +
         "\",\"ymin\":\"" + y0 + "\",\"xmax\":\"" + x1 + "\",\"ymax\":\"" + y1 + "\"}}";
}

// A DAIR-V2X-I set of `count` PNG pictures of 40 x 30, each with one car; all in "train", the last one also in "val".
class TinyDair {
 public:
  explicit TinyDair(int64_t count) {
    std::string info, ids;
    for (int64_t i = 0; i < count; ++i) {
      const std::string stem = "00000" + std::to_string(i);
      write("image/" + stem + ".png", encode_png(numbered_picture(40, 30, i)));
      write("label/camera/" + stem + ".json", "[" + dair_object("Car", "4", "6.5", "20", "18") + "]");
      info += (i ? "," : "") + ("{\"image_path\":\"image/" + stem + ".png\",\"label_camera_std_path\":\"label/camera/" +
                                stem + ".json\"}");
      ids += (i ? "," : "") + ("\"" + stem + "\"");
    }
    write("data_info.json", "[" + info + "]");
    write("split_data.json", "{\"train\":[" + ids + "],\"val\":[\"00000" + std::to_string(count - 1) + "\"]}");
  }

  std::string file(const std::string& name) const { return folder_ / name; }
  void write(const std::string& name, const std::string& bytes) const {
    make_directories(parent_directory(file(name)));
    write_file_atomic(file(name), bytes);
  }
  void label(int64_t i, const std::string& json) const {
    write("label/camera/00000" + std::to_string(i) + ".json", json);
  }
  Config config(Settings more = {}) const {
    more.insert(more.begin(), {{"data.root", folder_.path()}, {"data.size", "[30, 40]"}, {"data.augment.flip", "0"}});
    return test_config(more);
  }
  std::unique_ptr<Source> open(const std::string& split, const Settings& more = {}) const {
    return open_source(config(more), split);
  }

 private:
  TemporaryFolder folder_;
};

}  // namespace moe
