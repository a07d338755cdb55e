// Generated traffic scenes: the same bytes whatever the threads, a layout that parses, boxes that fit what is seen,
// class shares, and options that are refused.
#include "data/synth/traffic.h"

#include <algorithm>
#include <map>
#include <set>
#include <thread>

#include "base/files.h"
#include "data/data_support.h"
#include "base/json_file.h"
#include "data/synth/geometry.h"
#include "support/test.h"

using moe::Image;
using moe::JsonFile;
using moe::JsonNode;
using moe::Rng;
using moe::TrafficObject;
using moe::TrafficOptions;

static TrafficOptions small_options() {
  TrafficOptions options;
  options.train_images = 9, options.val_images = 3;
  options.width = 160, options.height = 96;
  options.seed = 7;
  return options;
}

// Names and contents of every file of a set.
static std::string digest(const std::string& root) {
  std::string all;
  for (const char* folder : {".", "image", "label/camera"}) {
    for (const std::string& name : moe::list_directory(root + "/" + folder)) {
      const std::string path = root + "/" + folder + "/" + name;
      if (!moe::is_directory(path)) all += moe::text(folder, "/", name, " ", moe::hash64(moe::read_file(path)), "\n");
    }
  }
  return all;
}

static void the_same_bytes_whatever_the_threads(void**) {
  TemporaryFolder folder;
  TrafficOptions options = small_options();
  std::set<std::string> digests;
  for (const int64_t threads : {1, 4, 1}) {
    options.threads = threads;
    const std::string root = folder / ("set" + std::to_string(digests.size()) + std::to_string(threads));
    moe::generate_traffic(root, options, nullptr);
    digests.insert(digest(root));
    (void)!std::system(("rm -rf '" + root + "'").c_str());
  }
  CHECK(digests.size() == 1);
  CHECK(std::count(digests.begin()->begin(), digests.begin()->end(), '\n') == 2 + 2 * 12);
  options.seed = 8;
  moe::generate_traffic(folder / "other", options, nullptr);
  CHECK(digest(folder / "other") != *digests.begin());
}

static void val_does_not_repeat_train(void**) {
  TemporaryFolder folder;
  moe::generate_traffic(folder / "set", small_options(), nullptr);
  std::set<std::string> pictures;
  for (const std::string& name : moe::list_directory(folder / "set/image"))
    pictures.insert(moe::read_file(folder / ("set/image/" + name)));
  CHECK(pictures.size() == 12);
}

static void check_label(const JsonNode& object, const TrafficOptions& options) {
  static const std::set<std::string> types{"Car", "Van", "Truck", "Bus", "Pedestrian", "Cyclist", "Motorcyclist"};
  CHECK(types.count(object.member("type").text()) == 1);
  for (const char* state : {"occluded_state", "truncated_state"}) {
    CHECK(std::set<std::string>({"0", "1", "2"}).count(object.member(state).text()) == 1);
  }
  const auto edge = [&](const char* name) {
    return moe::parse_double(object.member("2d_box").member(name).text()).value();
  };
  CHECK(0 <= edge("xmin") && edge("xmin") + 6 <= edge("xmax") && edge("xmax") <= static_cast<double>(options.width));
  CHECK(0 <= edge("ymin") && edge("ymin") + 6 <= edge("ymax") && edge("ymax") <= static_cast<double>(options.height));
  for (const char* size : {"h", "w", "l"})
    CHECK(moe::parse_double(object.member("3d_dimensions").member(size).text()).value() > 0);
  for (const char* axis : {"x", "y", "z"})
    CHECK(moe::parse_double(object.member("3d_location").member(axis).text()).has_value());
  for (const char* angle : {"rotation", "alpha"})
    CHECK(std::abs(moe::parse_double(object.member(angle).text()).value()) <= 3.1416);
}

static void the_layout_is_dair_v2x(void**) {
  TemporaryFolder folder;
  const TrafficOptions options = small_options();
  std::vector<std::string> lines;
  const std::thread::id caller = std::this_thread::get_id();
  moe::generate_traffic(folder / "set", options, [&](int32_t, const std::string& line) {
    CHECK(std::this_thread::get_id() == caller);
    lines.push_back(line);
  });
  CHECK(!lines.empty() && lines.size() <= 12 && lines.back() == "traffic: 12 of 12 scenes");
  const JsonFile info(folder / "set/data_info.json"), splits(folder / "set/split_data.json");
  CHECK(info.root().size() == 12);
  for (size_t i = 0; i < info.root().size(); ++i) {
    const JsonNode entry = info.root().at(i);
    const std::string image = entry.member("image_path").text();
    CHECK(image == (i < 10 ? "image/00000" : "image/0000") + std::to_string(i) + ".jpg");
    CHECK(entry.member("image_timestamp").text().size() == 16);
    const moe::ImageSize size = moe::read_image_size(folder / ("set/" + image));
    CHECK(size.width == options.width && size.height == options.height);
    const JsonFile label(folder / ("set/" + entry.member("label_camera_std_path").text()));
    for (size_t k = 0; k < label.root().size(); ++k) check_label(label.root().at(k), options);
  }
  const JsonNode split = splits.root();
  CHECK(split.member("train").size() == 9 && split.member("val").size() == 3 && split.member("test").size() == 0);
  CHECK(split.member("train").at(8).text() == "000008" && split.member("val").at(0).text() == "000009");
}

static void the_reader_opens_it(void**) {
  TemporaryFolder folder;
  moe::generate_traffic(folder / "set", small_options(), nullptr);
  const moe::Config config = moe::test_config({{"data.root", folder / "set"}, {"data.size", "[96, 160]"}});
  const auto train = moe::open_source(config, "train"), val = moe::open_source(config, "val");
  CHECK(train->size() == 9 && val->size() == 3);
  CHECK(val->file_name(0).find("000009.jpg") != std::string::npos);
  for (int64_t i = 0; i < val->size(); ++i) (void)val->load(i, Rng(0, "test"));
}

// The extent of an object's pixels, exactly.
static void check_tight(const TrafficObject& object, const std::vector<uint16_t>& owners,
                        const TrafficOptions& options) {
  int64_t left = options.width, top = options.height, right = 0, bottom = 0;
  for (int64_t y = 0; y < options.height; ++y) {
    for (int64_t x = 0; x < options.width; ++x) {
      if (owners[static_cast<size_t>(y * options.width + x)] != object.owner) continue;
      left = std::min(left, x), right = std::max(right, x + 1), top = std::min(top, y),
      bottom = std::max(bottom, y + 1);
    }
  }
  CHECK(object.xmin == static_cast<double>(left) && object.xmax == static_cast<double>(right));
  CHECK(object.ymin == static_cast<double>(top) && object.ymax == static_cast<double>(bottom));
  const bool at_side = left == 0 || right == options.width, at_end = top == 0 || bottom == options.height;
  CHECK(object.truncated_state == (at_side ? 1 : at_end ? 2 : 0));
}

static void boxes_are_what_is_seen(void**) {
  TrafficOptions options;
  options.width = 320, options.height = 192;
  for (uint64_t i = 0; i < 20; ++i) {
    std::vector<TrafficObject> objects;
    std::vector<uint16_t> owners;
    const Image image = moe::render_scene(options, Rng(1, "test", i), objects, &owners);
    CHECK(image.width == 320 && image.height == 192 && owners.size() == 320 * 192);
    for (const TrafficObject& object : objects) check_tight(object, owners, options);
  }
}

static void classes_are_frequent_and_large_enough(void**) {
  TrafficOptions options;
  options.width = 320, options.height = 192;
  std::map<std::string, double> count;
  std::vector<double> heights;
  constexpr uint64_t scenes = 120;
  for (uint64_t i = 0; i < scenes; ++i) {
    std::vector<TrafficObject> objects;
    moe::render_scene(options, Rng(2, "test", i), objects);
    CHECK(objects.size() <= 12);
    for (const TrafficObject& object : objects) ++count[object.type], heights.push_back(object.ymax - object.ymin);
  }
  const auto total = static_cast<double>(heights.size());
  const auto share = [&](const char* type) { return count[type] / total; };
  CHECK(total / scenes > 6);
  CHECK_NEAR(share("Car") + share("Van"), 0.44, 0.06);
  CHECK_NEAR(share("Pedestrian"), 0.17, 0.05);
  for (const char* type : {"Truck", "Cyclist", "Motorcyclist"}) CHECK_NEAR(share(type), 0.10, 0.04);
  CHECK_NEAR(share("Bus"), 0.075, 0.03);
  std::nth_element(heights.begin(), heights.begin() + heights.size() / 2, heights.end());
  CHECK(heights[heights.size() / 2] >= 20);  // of 192 rows
}

static void odd_sizes_render(void**) {
  const std::pair<int64_t, int64_t> sizes[] = {{64, 64}, {65, 301}, {517, 64}, {333, 222}};
  for (const auto& [width, height] : sizes) {
    TrafficOptions options;
    options.width = width, options.height = height;
    for (uint64_t i = 0; i < 5; ++i) {
      std::vector<TrafficObject> objects;
      std::vector<uint16_t> owners;
      moe::render_scene(options, Rng(3, "test", i), objects, &owners);
      for (const TrafficObject& object : objects) check_tight(object, owners, options);
    }
  }
}

static void near_things_are_painted_last(void**) {
  // A bus of which the middle is nearer than a car beside it, on the camera's side of the bus.
  const moe::synth::Footprint bus{2.5, 25, M_PI / 2, 12, 2.5}, car{-2, 28, M_PI / 2, 4.5, 1.8},
      behind{2.5, 36, M_PI / 2, 4.5, 1.8};
  const auto order = moe::synth::paint_order({bus, car, behind}, {-6, 0, 6});
  const auto place = [&](size_t i) { return std::find(order.begin(), order.end(), i) - order.begin(); };
  CHECK(place(1) > place(0) && place(2) < place(0));
  CHECK(!moe::synth::overlap(bus, car, 0.5) && moe::synth::overlap(bus, {2.4, 20, 0, 2, 1}, 0));
}

static void senseless_requests_are_refused(void**) {
  TemporaryFolder folder;
  const auto with = [](auto change) {
    TrafficOptions options = small_options();
    change(options);
    return options;
  };
  const auto refused = [&](const char* text, const TrafficOptions& options) {
    CHECK_ERROR(MOE_ERR_INVALID_ARGUMENT, text, moe::generate_traffic(folder / "set", options, nullptr));
  };
  refused("train_images from 1", with([](TrafficOptions& o) { o.train_images = 0; }));
  refused("val_images from 0", with([](TrafficOptions& o) { o.val_images = -1; }));
  refused("width from 64 to 4096, got 63", with([](TrafficOptions& o) { o.width = 63; }));
  refused("height from 64 to 4096, got 4097", with([](TrafficOptions& o) { o.height = 4097; }));
  refused("threads from 1 to 64, got 0", with([](TrafficOptions& o) { o.threads = 0; }));
  CHECK(!moe::exists(folder / "set"));

  moe::write_file_atomic(folder / "note.txt", "mine");
  CHECK_ERROR(MOE_ERR_STATE, "expected an empty or new folder",
              moe::generate_traffic(folder.path(), small_options(), nullptr));
  CHECK_ERROR(MOE_ERR_STATE, "got the file", moe::generate_traffic(folder / "note.txt", small_options(), nullptr));
  CHECK(moe::list_directory(folder.path()).size() == 1);
}

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(the_same_bytes_whatever_the_threads),
      cmocka_unit_test(val_does_not_repeat_train),
      cmocka_unit_test(the_layout_is_dair_v2x),
      cmocka_unit_test(the_reader_opens_it),
      cmocka_unit_test(boxes_are_what_is_seen),
      cmocka_unit_test(classes_are_frequent_and_large_enough),
      cmocka_unit_test(odd_sizes_render),
      cmocka_unit_test(near_things_are_painted_last),
      cmocka_unit_test(senseless_requests_are_refused),
  };
  return cmocka_run_group_tests(tests, nullptr, nullptr);
}
