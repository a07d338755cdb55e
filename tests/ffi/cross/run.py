#!/usr/bin/env python3
"""Trains the same settings through the training drivers of C and of another language and compares the digests they print. Exit
code 77: the language's toolchain is absent.

  run.py SOURCE_FOLDER BUILD_FOLDER LANGUAGE
"""
import sys
import tempfile
from pathlib import Path

from drivers import SKIPPED, Tree, drivers

OVERRIDES = ["train.epochs=2", "optimizer.lr=2e-3"]


def digest(tree, driver, settings, folder):
    error = driver.prepare(tree)
    if not error:
        found, error = driver.train(tree, settings, folder, OVERRIDES)
    if error:
        sys.exit(f"FAILED {driver.language}: {error}")
    print(f"{driver.language:8} {found}")
    return found


def main():
    tree, language = Tree(*sys.argv[1:3]), sys.argv[3]
    with tempfile.TemporaryDirectory(prefix="moe-cross-") as work:
        by_name = {driver.language.lower().replace("+", "p"): driver for driver in drivers(tree, Path(work))}
        other = by_name[language]
        reason = other.absent()
        if reason:
            print(f"SKIPPED: the {other.language} driver was NOT tried: {reason}")
            return SKIPPED
        settings = tree.write_settings(Path(work))
        found = {digest(tree, driver, settings, Path(work) / driver.language) for driver in (by_name["c"], other)}
    if len(found) > 1:
        print("FAILED: expected one digest of both languages")
    return len(found) - 1


if __name__ == "__main__":
    sys.exit(main())
