#include <algorithm>

#include "base/error.h"
#include "base/files.h"
#include "data/labelled_set.h"

namespace moe {

static bool is_picture(const std::string& name) {
  const std::string ending = lower(name.substr(std::min(name.size(), name.rfind('.'))));
  return ending == ".png" || ending == ".jpg" || ending == ".jpeg";
}

static std::vector<std::string> folders_in(const std::string& folder) {
  std::vector<std::string> out;
  for (const std::string& name : list_directory(folder)) {
    if (is_directory(join_path(folder, name))) out.push_back(name);
  }
  return out;
}

static void check_names(const std::string& folder, const std::vector<std::string>& found,
                        const std::vector<std::string>& classes) {
  for (const std::string& name : found) {
    check(std::find(classes.begin(), classes.end(), name) != classes.end(), MOE_ERR_DATA, join_path(folder, name),
          ": expected a folder named like one of data.classes, got ", quote(name), did_you_mean(name, classes));
  }
}

LabelledSet read_image_folder(const std::string& folder, const std::vector<std::string>& classes) {
  check(is_directory(folder), MOE_ERR_NOT_FOUND, folder, ": expected a folder with one folder for each class");
  const std::vector<std::string> found = folders_in(folder);
  if (!classes.empty()) check_names(folder, found, classes);
  LabelledSet set;
  set.classes = classes.empty() ? found : classes;
  for (size_t label = 0; label < set.classes.size(); ++label) {
    const std::string own = join_path(folder, set.classes[label]);
    if (!is_directory(own)) continue;
    for (const std::string& name : list_directory(own)) {
      if (is_picture(name)) set.pictures.push_back({join_path(own, name), static_cast<int64_t>(label), {}});
    }
  }
  check(!set.pictures.empty(), MOE_ERR_DATA, folder,
        ": expected pictures (.png, .jpg, .jpeg) in folders by class, got ", found.empty() ? "no folder" : "none");
  return set;
}

}  // namespace moe
