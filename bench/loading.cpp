// Loading of real pictures (HIT-UAV, 320x256): decode, resize with antialias, to float, batches of 8. An epoch against
// torchvision's pipeline in PyTorch's DataLoader with the same number of workers; and what a training step of RT-DETR
// R18 waits for its batch.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <memory>

#include "base/text.h"
#include "c_api.h"
#include "peer.h"
#include "turns.h"

namespace {

using bench::check;

constexpr int64_t batch_size = 8;

std::string data_folder() {
  const char* given = std::getenv("MOE_DATA_DIR");
  return std::filesystem::absolute(given == nullptr ? "../shared/data" : given) / "hituav";
}

std::vector<std::string> pictures() {
  constexpr size_t most = 256;
  std::vector<std::string> paths;
  for (const auto& entry : std::filesystem::directory_iterator(data_folder() + "/image")) paths.push_back(entry.path());
  std::sort(paths.begin(), paths.end());
  paths.resize(std::min(paths.size(), most));
  return paths;
}

std::string settings(int64_t side, int64_t workers) {
  return moe::text("task: rtdetr\n", "data: {format: dair_v2x_i, root: ", data_folder(),
                   ", classes: [car, truck, person, bicycle], size: [", side, ", ", side, "], workers: ", workers,
                   "}\ntrain: {batch_size: ", batch_size, "}\n");
}

template <typename T, void (*Free)(T*)>
std::shared_ptr<T> owned(T* handle) {
  return {handle, Free};
}

bench::Rival epoch(const std::vector<std::string>& paths, int64_t side, int64_t workers) {
  const auto config = owned<moe_config, moe_config_free>(bench::parse_config(settings(side, workers)));
  std::vector<const char*> names;
  for (const std::string& path : paths) names.push_back(path.c_str());
  moe_loader* loader = nullptr;
  check(moe_loader_create_files(config.get(), names.data(), names.size(), &loader));
  moe_batch* batch = nullptr;
  check(moe_batch_create(&batch));
  const auto call = [loader = owned<moe_loader, moe_loader_free>(loader),
                     batch = owned<moe_batch, moe_batch_free>(batch)] {
    moe_status status = MOE_OK;
    while (status == MOE_OK) status = moe_loader_next(loader.get(), batch.get());
    if (status != MOE_END) check(status);
  };
  return bench::resident_rival("moe", call);
}

struct ListFile {
  std::filesystem::path path = std::filesystem::temp_directory_path() / moe::text("moe-pictures-", getpid());

  explicit ListFile(const std::vector<std::string>& paths) {
    std::ofstream file(path);
    for (size_t i = 0; i < paths.size(); ++i) file << (i == 0 ? "" : "\n") << paths[i];
  }
  ~ListFile() { std::filesystem::remove(path); }
  ListFile(const ListFile&) = delete;
  ListFile& operator=(const ListFile&) = delete;
};

std::vector<bench::Rival> beside_torchvision(int64_t side, int64_t workers) {
  const std::vector<std::string> paths = pictures();
  const ListFile list(paths);
  std::vector<bench::Rival> rivals = {epoch(paths, side, workers)};
  const std::string pixels = std::to_string(side);
  const std::vector<std::string> arguments = {
      "--list",  list.path,   "--size", pixels, pixels, "--batch", std::to_string(batch_size), "--workers",
      std::to_string(workers)};
  bench::add_peer(rivals, "torchvision", "torchvision_loader.py", arguments, false, {0.5, 0});
  bench::add_peer(rivals, "torchvision_kept", "torchvision_loader.py", arguments, true, {});
  return rivals;
}

// The two halves of one turn of a training: the wait for the batch, and the step.
std::vector<bench::Rival> wait_and_step() {
  const std::string text = settings(320, 1);
  const auto config = owned<moe_config, moe_config_free>(bench::parse_config(text));
  const auto session = owned<moe_session, moe_session_free>(bench::create_session(text));
  moe_loader* loader = nullptr;
  check(moe_loader_create(config.get(), "train", &loader));
  moe_batch* batch = nullptr;
  check(moe_batch_create(&batch));
  const auto next = [loader = owned<moe_loader, moe_loader_free>(loader), batch] {
    check(moe_loader_next(loader.get(), batch));
  };
  const auto step = [session, batch = owned<moe_batch, moe_batch_free>(batch)] {
    check(moe_session_feed(session.get(), batch.get()));
    check(moe_session_step(session.get(), nullptr));
  };
  std::vector<bench::Rival> rivals = {bench::resident_rival("wait", next), bench::resident_rival("step", step)};
  rivals[1].goal.time = 0.03;
  return rivals;
}

}  // namespace

int main(int argc, char** argv) {
  if (!std::filesystem::is_directory(data_folder())) {
    std::fprintf(stderr, "loading: no data set %s; MOE_DATA_DIR names the folder that holds hituav\n",
                 data_folder().c_str());
    return 1;
  }
  constexpr int rounds = 7;
  for (const int64_t side : {320, 640}) {
    for (const int64_t workers : {0, 1, 2}) {
      bench::add_turns(moe::text("loading/", side, "x", side, "/workers=", workers),
                       [=] { return beside_torchvision(side, workers); }, rounds);
    }
  }
  bench::add_turns("loading/wait/320x320/workers=1", wait_and_step, 2 * rounds);
  return bench::run_benchmarks(argc, argv);
}
