#include "data/check.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <optional>
#include <thread>

#include "base/files.h"
#include "base/rng.h"
#include "data/detection_set.h"
#include "data/exclude_list.h"
#include "data/labelled_source.h"
#include "image/image.h"

namespace moe {

namespace {

constexpr int64_t kShown = 20;  // lines of one kind and split

// What a look at one picture file gave.
struct Look {
  std::string kind, line;  // of a problem; "" none
  ImageSize size{0, 0};    // 0: not known
  uint64_t digest = 0;     // of its bytes; 0: not known
};

uint64_t digest_of(const std::string& bytes) {
  uint64_t hash = mix64(bytes.size());
  for (size_t i = 0; i < bytes.size(); i += 8) {
    uint64_t word = 0;
    std::memcpy(&word, bytes.data() + i, std::min<size_t>(8, bytes.size() - i));
    hash = mix64(hash ^ word);
  }
  return hash;
}

Look look_at(const PictureRecord& picture) {
  Look look;
  if (!exists(picture.path)) return {"missing", picture.path + ": expected a picture, got no such file"};
  try {
    const std::string bytes = read_file(picture.path);
    if (bytes.empty()) return {"empty", picture.path + ": expected a picture, got a file of 0 bytes"};
    look.digest = digest_of(bytes);
    const Image image = decode_image(bytes, picture.path);
    look.size = {image.height, image.width};
  } catch (const std::exception& error) {
    return {"broken", error.what()};
  }
  const bool agrees = (picture.width == 0 || picture.width == look.size.width) &&
                      (picture.height == 0 || picture.height == look.size.height);
  if (agrees) return look;
  look.kind = "size";
  look.line = text(picture.path, ": expected ", picture.width, " x ", picture.height,
                   " pixels as the annotation file says, got ", look.size.width, " x ", look.size.height);
  return look;
}

std::vector<Look> look_at_all(const std::vector<PictureRecord>& pictures, int64_t workers) {
  std::vector<Look> looks(pictures.size());
  std::atomic<size_t> next{0};
  const auto work = [&] {
    for (size_t i = next++; i < pictures.size(); i = next++) looks[i] = look_at(pictures[i]);
  };
  std::vector<std::thread> threads;
  for (int64_t t = 1; t < workers; ++t) threads.emplace_back(work);
  work();
  for (std::thread& thread : threads) thread.join();
  return looks;
}

// A box that no training sees: without area, or not inside the picture.
std::optional<Finding> judge_box(const PictureRecord& picture, size_t index, ImageSize size) {
  const ObjectRecord& box = picture.objects[index];
  const bool flat = !(box.width > 0 && box.height > 0);
  const bool inside = box.x < static_cast<double>(size.width) && box.y < static_cast<double>(size.height) &&
                      box.x + box.width > 0 && box.y + box.height > 0;
  if (!flat && (inside || size.width == 0)) return std::nullopt;
  return Finding{flat ? "degenerate" : "outside",
                 text(picture.path, ": object ", index, ": expected a box with an area inside the picture, got x ",
                      box.x, ", y ", box.y, ", width ", box.width, ", height ", box.height, "; training leaves it out"),
                 ""};
}

class Checker {
 public:
  Checker(const Config& config, const Log& log) : config_(config), log_(log) {
    if (!config.text("data.exclude").empty()) list_ = ExcludeList(config.text("data.exclude"));
  }

  void check_split(const std::string& split) {
    Findings findings;
    SplitPlace place = split_place(config_, split);
    place.findings = &findings;
    if (config_.text("data.format") == "coco" && place.annotations.empty()) {
      const std::string expected = "expected the COCO json of the split, got none";
      if (split == "train") config_.fail_at("data.train.annotations", expected);
      return log_line(log_, MOE_LOG_INFO, text("data, ", split, ": data.", split, ".annotations: ", expected));
    }
    DetectionSet set;
    attempt(&findings, "unreadable", "", [&] { set = read_detection_set(config_, place); });
    note_classes(findings);
    check_pictures(split, set, findings);
    for (const Note& note : set.notes) {
      if (note.level >= MOE_LOG_WARNING) {
        findings.list.push_back({"note", note.line, ""});
      } else {
        log_line(log_, note.level, note.line);
      }
    }
    tell(split, set, findings);
  }

  DataReport finish(const std::string& path) {
    report_.excluded = list_.size();
    if (!path.empty()) list_.write(path);
    return report_;
  }

 private:
  void note_classes(Findings& findings) const {
    for (const auto& [type, count] : findings.unmapped) {
      findings.list.push_back({"unmapped",
                               text("data.class_map: expected a meaning for ", quote(type), ", which ", count,
                                    count == 1 ? " object has" : " objects have", ", got none"),
                               ""});
    }
  }

  void check_pictures(const std::string& split, const DetectionSet& set, Findings& findings) {
    const std::vector<Look> looks =
        look_at_all(set.pictures, std::clamp<int64_t>(config_.integer("data.workers"), 1, 64));
    for (size_t i = 0; i < looks.size(); ++i) {
      const PictureRecord& picture = set.pictures[i];
      if (!looks[i].kind.empty()) findings.list.push_back({looks[i].kind, looks[i].line, picture.name});
      for (size_t k = 0; k < picture.objects.size(); ++k) {
        if (const auto found = judge_box(picture, k, looks[i].size)) findings.list.push_back(*found);
      }
      if (looks[i].digest != 0) find_copy(split, picture, looks[i].digest, findings);
    }
  }

  // The first split that is looked at is the one for training, from which a copy is left out.
  void find_copy(const std::string& split, const PictureRecord& picture, uint64_t digest, Findings& findings) {
    const auto [found, fresh] = seen_.emplace(digest, Seen{split, picture.name, picture.path});
    if (fresh) return;
    const bool same_split = found->second.split == split;
    findings.list.push_back({same_split ? "copy" : "in both splits",
                             text(picture.path, ": expected a picture of its own, got the bytes of ",
                                  found->second.path, " of the split ", found->second.split),
                             ""});
    if (!same_split) list_.add(found->second.split, found->second.name, "also in " + split + ": " + picture.name);
  }

  void tell(const std::string& split, const DetectionSet& set, const Findings& findings) {
    std::map<std::string, int64_t> counts;
    for (const Finding& finding : findings.list) {
      if (++counts[finding.kind] <= kShown) {
        log_line(log_, MOE_LOG_WARNING, text(split, ", ", finding.kind, ": ", finding.line));
      }
      if (!finding.picture.empty()) list_.add(split, finding.picture, finding.kind + ": " + finding.line);
    }
    for (const auto& [kind, count] : counts) {
      if (count <= kShown) continue;
      log_line(log_, MOE_LOG_WARNING, text(split, ", ", kind, ": ", count - kShown, " more"));
    }
    report_.problems += static_cast<int64_t>(findings.list.size());
    report_.pictures += static_cast<int64_t>(set.pictures.size());
    int64_t objects = 0;
    for (const PictureRecord& picture : set.pictures) objects += static_cast<int64_t>(picture.objects.size());
    report_.objects += objects;
    log_line(log_, MOE_LOG_INFO,
             text("data, ", split, ": ", set.pictures.size(), " pictures, ", objects, " objects, ",
                  findings.list.size(), " problems"));
  }

  struct Seen {
    std::string split, name, path;
  };

  const Config& config_;
  const Log& log_;
  DataReport report_;
  ExcludeList list_;
  std::map<uint64_t, Seen> seen_;  // by digest of the bytes
};

}  // namespace

DataReport check_data(const Config& config, const std::string& list, const Log& log) {
  check(!is_labelled_format(config.text("data.format")), MOE_ERR_UNSUPPORTED, "data check: expected data.format ",
        "dair_v2x_i or coco, got ", quote(config.text("data.format")));
  Checker checker(config, log);
  checker.check_split("train");
  checker.check_split("val");
  return checker.finish(list);
}

}  // namespace moe
