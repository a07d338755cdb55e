// A rival in another process: a Python program of bench/peers, which builds its model once and then answers each line
// on its standard input with the seconds that one call took and the most resident memory of its process in MB.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "turns.h"

namespace bench {

// The Python with the peers' packages: the environment variable MOE_PEERS, "" when it is not set.
std::string peer_python();

// bench/peers/SCRIPT with the arguments, as many threads as this process has. keep_memory: glibc's malloc keeps what it
// has (the setting that serves PyTorch best). Nothing when MOE_PEERS is not set or the program cannot do this case,
// which it says on standard error.
std::optional<Rival> peer_rival(const std::string& name, const std::string& script,
                                const std::vector<std::string>& arguments, bool keep_memory);
// Appends it, where there is one.
void add_peer(std::vector<Rival>& rivals, const std::string& name, const std::string& script,
              const std::vector<std::string>& arguments, bool keep_memory, Goal goal);

}  // namespace bench
