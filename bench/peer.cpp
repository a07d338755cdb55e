#include "peer.h"

#include <ATen/Parallel.h>
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <memory>

#include "base/error.h"

namespace bench {

namespace {

class Peer {
 public:
  Peer(const std::string& script, const std::vector<std::string>& arguments, bool keep_memory) {
    std::array<int, 2> in{}, out{};
    // Closed on exec: a later peer must not hold the pipes of an earlier one, which would then never see the end of its input.
    moe::check(pipe2(in.data(), O_CLOEXEC) == 0 && pipe2(out.data(), O_CLOEXEC) == 0, MOE_ERR_IO, "pipe: cannot open one");
    child_ = fork();
    moe::check(child_ >= 0, MOE_ERR_IO, script, ": cannot start a process");
    if (child_ == 0) become(script, arguments, keep_memory, in, out);
    close(in[0]);
    close(out[1]);
    ask_ = fdopen(in[1], "w");
    answer_ = fdopen(out[0], "r");
  }

  ~Peer() {
    std::fclose(ask_);
    std::fclose(answer_);
    waitpid(child_, nullptr, 0);
  }

  Peer(const Peer&) = delete;
  Peer& operator=(const Peer&) = delete;

  // Nothing when the program has ended.
  std::optional<Measured> run() {
    std::fputs("run\n", ask_);
    std::fflush(ask_);
    Measured taken{};
    const int found = std::fscanf(answer_, "%lf %lf", &taken.seconds, &taken.resident_mb);
    return found == 2 ? std::optional(taken) : std::nullopt;
  }

 private:
  [[noreturn]] static void become(const std::string& script, const std::vector<std::string>& arguments,
                                  bool keep_memory, const std::array<int, 2>& in, const std::array<int, 2>& out) {
    dup2(in[0], STDIN_FILENO);
    dup2(out[1], STDOUT_FILENO);
    setenv("OMP_NUM_THREADS", std::to_string(at::get_num_threads()).c_str(), 1);
    if (keep_memory) {
      setenv("MALLOC_MMAP_MAX_", "0", 1);
      setenv("MALLOC_TRIM_THRESHOLD_", "17179869184", 1);
      setenv("MALLOC_TOP_PAD_", "268435456", 1);
    }
    const std::string python = peer_python(), path = std::string(MOE_BENCH_PEERS) + "/" + script;
    std::vector<const char*> line = {python.c_str(), path.c_str()};
    for (const std::string& argument : arguments) line.push_back(argument.c_str());
    line.push_back(nullptr);
    execv(python.c_str(), const_cast<char* const*>(line.data()));
    std::perror(python.c_str());
    _exit(127);
  }

  pid_t child_ = -1;
  std::FILE* ask_ = nullptr;
  std::FILE* answer_ = nullptr;
};

}  // namespace

std::string peer_python() {
  const char* given = std::getenv("MOE_PEERS");
  return given == nullptr ? "" : given;
}

std::optional<Rival> peer_rival(const std::string& name, const std::string& script,
                                const std::vector<std::string>& arguments, bool keep_memory) {
  if (peer_python().empty()) return std::nullopt;
  const auto peer = std::make_shared<Peer>(script, arguments, keep_memory);
  if (!peer->run()) return std::nullopt;  // warms up as well
  Rival rival;
  rival.name = name;
  rival.timed = [peer, script] {
    const std::optional<Measured> taken = peer->run();
    moe::check(taken.has_value(), MOE_ERR_IO, script, ": expected the seconds of a call, got the end of the program");
    return *taken;
  };
  return rival;
}

void add_peer(std::vector<Rival>& rivals, const std::string& name, const std::string& script,
              const std::vector<std::string>& arguments, bool keep_memory, Goal goal) {
  std::optional<Rival> peer = peer_rival(name, script, arguments, keep_memory);
  if (!peer) return;
  peer->goal = goal;
  rivals.push_back(std::move(*peer));
}

}  // namespace bench
