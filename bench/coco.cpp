// COCO evaluation of two files through moe_coco_evaluate(), against pycocotools and faster-coco-eval on the same bytes:
// 2,000 generated images of 10 categories, about 8 objects and exactly 100 detections each.
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>

#include "base/rng.h"
#include "base/text.h"
#include "c_api.h"
#include "peer.h"
#include "turns.h"

namespace {

using bench::check;

constexpr int64_t images = 2000, categories = 10, detections_each = 100;
constexpr double width = 640, height = 480;

struct Box {
  double x, y, w, h;
  int64_t category;
};

Box random_box(moe::Rng& rng) {
  const auto side = [&] { return std::exp(rng.uniform(std::log(8.0), std::log(240.0))); };
  const double w = side(), h = side();
  return {rng.uniform(0, width - w), rng.uniform(0, height - h), w, h, 1 + rng.below(categories)};
}

Box near(const Box& box, moe::Rng& rng) {
  const auto shift = [&](double side) { return 0.1 * rng.normal() * side; };
  return {box.x + shift(box.w), box.y + shift(box.h), std::max(1.0, box.w + shift(box.w)),
          std::max(1.0, box.h + shift(box.h)), rng.chance(0.85) ? box.category : 1 + rng.below(categories)};
}

// Comma-separated JSON objects.
struct Rows {
  std::string text;
  int64_t count = 0;

  template <typename... Arguments>
  void add(const char* form, Arguments... arguments) {
    char row[256];
    std::snprintf(row, sizeof row, form, arguments...);
    text += count++ == 0 ? "" : ",";
    text += row;
  }
};

using Id = long long;  // of printf

void add_truths(Rows& rows, const std::vector<Box>& boxes, Id image, moe::Rng& rng) {
  for (const Box& box : boxes) {
    rows.add(R"({"id":%lld,"image_id":%lld,"category_id":%lld,"iscrowd":%d,"bbox":[%.2f,%.2f,%.2f,%.2f],"area":%.2f})",
             static_cast<Id>(rows.count + 1), image, static_cast<Id>(box.category), rng.chance(0.01) ? 1 : 0, box.x,
             box.y, box.w, box.h, box.w * box.h);
  }
}

// Two jittered detections for every object, the rest anywhere with lower scores.
void add_detections(Rows& rows, const std::vector<Box>& boxes, Id image, moe::Rng& rng) {
  for (int64_t i = 0; i < detections_each; ++i) {
    const bool found = i < 2 * static_cast<int64_t>(boxes.size());
    const Box box = found ? near(boxes[static_cast<size_t>(i) % boxes.size()], rng) : random_box(rng);
    const double score = found ? rng.uniform(0.3, 1) : rng.uniform(0, 0.5);
    rows.add(R"({"image_id":%lld,"category_id":%lld,"bbox":[%.2f,%.2f,%.2f,%.2f],"score":%.5f})", image,
             static_cast<Id>(box.category), box.x, box.y, box.w, box.h, score);
  }
}

// Two files in a folder of their own, which goes with the object.
struct Files {
  std::filesystem::path folder;

  Files() {
    std::string name = (std::filesystem::temp_directory_path() / "moe-coco-XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) std::exit((std::perror(name.c_str()), 1));
    folder = name;
    write();
  }
  ~Files() { std::filesystem::remove_all(folder); }
  Files(const Files&) = delete;
  Files& operator=(const Files&) = delete;

  std::string annotations() const { return folder / "annotations.json"; }
  std::string detections() const { return folder / "detections.json"; }

 private:
  void write() const {
    Rows pictures, truths, found, kinds;
    for (int64_t c = 1; c <= categories; ++c) {
      kinds.add(R"({"id":%lld,"name":"c%lld"})", static_cast<Id>(c), static_cast<Id>(c));
    }
    for (Id image = 1; image <= images; ++image) {
      moe::Rng rng(7, "image", static_cast<uint64_t>(image));
      pictures.add(R"({"id":%lld,"width":640,"height":480,"file_name":"%06lld.jpg"})", image, image);
      std::vector<Box> boxes(static_cast<size_t>(rng.below(17)));
      for (Box& box : boxes) box = random_box(rng);
      add_truths(truths, boxes, image, rng);
      add_detections(found, boxes, image, rng);
    }
    std::ofstream(annotations()) << R"({"images":[)" << pictures.text << R"(],"annotations":[)" << truths.text
                                 << R"(],"categories":[)" << kinds.text << "]}";
    std::ofstream(detections()) << "[" << found.text << "]";
  }
};

void evaluate(const Files& files) {
  size_t count = 0;
  check(moe_coco_evaluate(files.annotations().c_str(), files.detections().c_str(), nullptr, nullptr, nullptr, 0, &count));
  std::vector<moe_metric> metrics(count);
  check(moe_coco_evaluate(files.annotations().c_str(), files.detections().c_str(), nullptr, nullptr, metrics.data(),
                          metrics.size(), &count));
}

std::vector<bench::Rival> beside_peers() {
  const auto files = std::make_shared<Files>();
  std::vector<bench::Rival> rivals = {bench::resident_rival("moe", [=] { evaluate(*files); })};
  const auto add = [&](const char* tool, double goal) {
    bench::add_peer(rivals, tool, "coco_tool.py", {"--tool", tool, files->annotations(), files->detections()}, false,
                    {goal, 0});
  };
  add("pycocotools", 0.1);
  add("faster_coco_eval", 1);
  return rivals;
}

}  // namespace

int main(int argc, char** argv) {
  constexpr int rounds = 5;
  bench::add_turns(moe::text("coco/", images, "_images_x_", detections_each), beside_peers, rounds);
  return bench::run_benchmarks(argc, argv);
}
