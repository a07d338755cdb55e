#!/usr/bin/env python3
"""Every function of moe.h is reached through moe.hpp and weak by moe_weak.hpp: a function that the header gains and the wrapper
lacks is a failure.

  check_coverage.py HEADER WEAK WRAPPER ...
"""
import re
import sys
from pathlib import Path

# Of use as they are: names for people.
AS_THEY_ARE = {"moe_status_name"}
STRONG = {"moe_version", "moe_version_string", "moe_abi_version", "moe_status_name", "moe_last_error"}


def main():
    header, weak, *wrappers = (Path(name).read_text(encoding="utf-8") for name in sys.argv[1:])
    header = re.sub(r"/\*.*?\*/", "", header, flags=re.S)
    declared = set(re.findall(r"^MOE_API[^;(]*?\b(moe_\w+)\(", header, flags=re.M))
    used = set(re.findall(r"\bmoe_\w+", re.sub(r"//.*", "", "\n".join(wrappers))))
    marked = set(re.findall(r"^#pragma weak (\w+)$", weak, flags=re.M))
    wrong = [f"moe.hpp: expected a way to {name}(), found none" for name in sorted(declared - used - AS_THEY_ARE)]
    wrong += [f"moe_weak.hpp: expected #pragma weak {name}, found none" for name in sorted(declared - STRONG - marked)]
    wrong += [f"moe_weak.hpp: expected no #pragma weak {name}" for name in sorted(marked - (declared - STRONG))]
    print("\n".join(wrong) or f"all {len(declared)} functions are reached")
    return 1 if wrong or len(declared) < 50 else 0


if __name__ == "__main__":
    sys.exit(main())
