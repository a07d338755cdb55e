// A whole training in a folder: progress on the way, Ctrl-C finishes the step and writes a checkpoint, running it again
// resumes. The last line is the digest of the trained weights.
//
//   train CONFIG FOLDER [KEY=VALUE ...]
#include <csignal>
#include <cstdio>

#include "moe.hpp"

namespace {

// While it lives, Ctrl-C asks the run to stop; moe_run_request_stop() is made for signal handlers.
class StopOnInterrupt {
 public:
  explicit StopOnInterrupt(moe::Run& run) {
    running_ = &run;
    std::signal(SIGINT, [](int) { running_->request_stop(); });
  }
  ~StopOnInterrupt() { std::signal(SIGINT, SIG_DFL); }

 private:
  static moe::Run* running_;
};
moe::Run* StopOnInterrupt::running_ = nullptr;

// Between two events the run's session answers questions.
void print_experts(moe::Run& run) {
  const moe::Session session = run.session();
  for (std::int32_t layer = 0; layer < session.layers(); ++layer) {
    std::printf("  %s:", session.layer(layer).name);
    const auto stats = session.expert_stats(layer, MOE_WINDOW_SINCE_RESET);
    for (std::size_t e = 0; e < stats.size(); ++e) {
      std::printf(" %s %.0f%%", session.expert_name(layer, static_cast<std::int32_t>(e)).c_str(), 100 * stats[e].share);
    }
    std::printf("\n");
  }
}

int train(const moe::Config& config, const char* folder) {
  moe::Run run(config, folder, MOE_RUN_AUTO, [](std::int32_t level, std::string_view line) {
    if (level >= MOE_LOG_WARNING) std::fprintf(stderr, "%.*s\n", static_cast<int>(line.size()), line.data());
  });
  const StopOnInterrupt stops(run);
  for (const moe_run_event& event : run.events()) {
    std::puts(event.text);
    if (event.kind == MOE_EVENT_EPOCH) print_experts(run);
    std::fflush(stdout);
  }
  std::printf("digest %s\n", run.session().get("state.digest").c_str());
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fprintf(stderr, "usage: train CONFIG FOLDER [KEY=VALUE ...]\n");
    return 2;
  }
  try {
    moe::Config config = moe::Config::load(argv[1]);
    for (int i = 3; i < argc; ++i) {
      const std::string override = argv[i];
      const std::size_t equals = override.find('=');
      if (equals == std::string::npos) throw std::invalid_argument("expected KEY=VALUE, got \"" + override + "\"");
      config.set(override.substr(0, equals), override.substr(equals + 1));
    }
    return train(config, argv[2]);
  } catch (const moe::Error& error) {
    const bool stopped = error.status() == MOE_ERR_CANCELLED;
    std::fprintf(stderr, "%s\n", stopped ? "stopped; the same command goes on" : error.what());
    return stopped ? 130 : 1;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
