#!/usr/bin/env python3
"""Every function of moe.h is reached through moe.hpp: a function that the header gains and the wrapper lacks is a failure.

  check_coverage.py HEADER WRAPPER ...
"""
import re
import sys
from pathlib import Path

# Of use as they are: names for people.
AS_THEY_ARE = {"moe_status_name"}


def main():
    header, *wrappers = (Path(name).read_text(encoding="utf-8") for name in sys.argv[1:])
    header = re.sub(r"/\*.*?\*/", "", header, flags=re.S)
    declared = set(re.findall(r"^MOE_API[^;(]*?\b(moe_\w+)\(", header, flags=re.M))
    used = set(re.findall(r"\bmoe_\w+", re.sub(r"//.*", "", "\n".join(wrappers))))
    missing = sorted(declared - used - AS_THEY_ARE)
    print("\n".join(f"moe.hpp: expected a way to {name}(), found none" for name in missing) or
          f"all {len(declared)} functions are reached")
    return 1 if missing or len(declared) < 50 else 0


if __name__ == "__main__":
    sys.exit(main())
