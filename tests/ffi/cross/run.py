#!/usr/bin/env python3
"""Trains the same settings through the training driver of every language and compares the digests they print. A language
whose toolchain or source is absent is named as skipped; one that is there must succeed.

  run.py SOURCE_FOLDER BUILD_FOLDER [LANGUAGE ...]
"""
import sys
import tempfile
from pathlib import Path

from drivers import Tree, drivers

OVERRIDES = ["train.epochs=2", "optimizer.lr=2e-3"]


def digests(tree, work, only):
    """Digests by language, and the number of failures."""
    settings, found, failures = tree.write_settings(work), {}, 0
    for driver in drivers(tree, work):
        if only and driver.language.lower() not in only:
            continue
        reason = driver.absent()
        if reason:
            print(f"SKIPPED {driver.language}: its driver was NOT tried: {reason}")
            continue
        error = driver.prepare(tree)
        if not error:
            found[driver.language], error = driver.train(tree, settings, work / driver.language, OVERRIDES)
        if error:
            print(f"FAILED {driver.language}: {error}")
            failures += 1
        else:
            print(f"{driver.language:8} {found[driver.language]}")
    return found, failures


def main():
    only = {name.lower() for name in sys.argv[3:]}
    with tempfile.TemporaryDirectory(prefix="moe-cross-") as work:
        found, failures = digests(Tree(sys.argv[1], sys.argv[2]), Path(work), only)
    if len(set(found.values())) > 1:
        print("FAILED: expected one digest of all languages")
        failures += 1
    if len(found) < 2 and not only:
        print("FAILED: expected at least two drivers, got", len(found))
        failures += 1
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
