#!/usr/bin/env python3
"""Times the training driver of every language turn by turn on the same settings, whole processes: what a binding costs beside C.
Prints the median over the rounds of each driver's time divided by that of C in the same round, and the median seconds.

  drivers.py BUILD_FOLDER [ROUNDS] [EPOCHS]
"""
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

SOURCE = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(SOURCE / "tests/ffi/cross"))
from drivers import Tree, drivers  # noqa: E402  the folder is on the path only now


def seconds(driver, tree, settings, folder, overrides):
    shutil.rmtree(folder, ignore_errors=True)
    start = time.perf_counter()
    _, error = driver.train(tree, settings, folder, overrides)
    if error:
        sys.exit(f"{driver.language}: {error}")
    return time.perf_counter() - start


def main():
    tree = Tree(SOURCE, sys.argv[1])
    rounds, epochs = (int(sys.argv[i]) if len(sys.argv) > i else default for i, default in ((2, 5), (3, 30)))
    with tempfile.TemporaryDirectory(prefix="moe-drivers-") as name:
        work = Path(name)
        settings, here = tree.write_settings(work, train=40), []
        for driver in drivers(tree, work):
            reason = driver.absent() or driver.prepare(tree)
            if reason:
                print(f"SKIPPED {driver.language}: {reason}")
            else:
                here.append(driver)
        times = {driver.language: [] for driver in here}
        for turn in range(rounds + 1):  # the first fills the caches and is not counted
            for driver in here:
                taken = seconds(driver, tree, settings, work / "run", [f"train.epochs={epochs}", f"train.eval_every={epochs}"])
                times[driver.language] += [taken] * (turn > 0)
    for language, taken in times.items():
        ratio = statistics.median(t / c for t, c in zip(taken, times["C"]))
        print(f"{language:8} {ratio:.3f} of C   {statistics.median(taken):.2f} s")


if __name__ == "__main__":
    main()
