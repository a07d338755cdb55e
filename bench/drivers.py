#!/usr/bin/env python3
"""Times the training driver of every language turn by turn on the same settings, whole processes: what a binding costs beside C.
Prints the table of scripts/bench and leaves it in BUILD_FOLDER/bench/drivers.json; the ratio is the median over the rounds of a
driver's time divided by that of C in the same round.

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
from table import show  # noqa: E402

GOAL = 1.02  # the most that a layer may add to the time of C


def seconds(driver, tree, settings, folder, overrides):
    shutil.rmtree(folder, ignore_errors=True)
    start = time.perf_counter()
    _, error = driver.train(tree, settings, folder, overrides)
    if error:
        sys.exit(f"{driver.language}: {error}")
    return time.perf_counter() - start


def row(language, taken, of_c):
    out = {"name": f"drivers/{language}", "ours_ms": 1e3 * statistics.median(taken), "peer": None, "peer_ms": None,
           "ratio": None, "spread": None, "goal": None, "runs": len(taken)}
    if language == "C":
        return out
    ratios = sorted(t / c for t, c in zip(taken, of_c))
    low, middle, high = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else ratios * 3
    return out | {"peer": "C", "peer_ms": 1e3 * statistics.median(of_c), "ratio": middle, "spread": [low, high], "goal": GOAL}


def main():
    tree = Tree(SOURCE, sys.argv[1])
    rounds, epochs = (int(sys.argv[i]) if len(sys.argv) > i else default for i, default in ((2, 5), (3, 30)))
    with tempfile.TemporaryDirectory(prefix="moe-drivers-") as name:
        work = Path(name)
        settings, here = tree.write_settings(work, train=40), []
        for driver in drivers(tree, work):
            reason = driver.absent()
            if reason:
                print(f"SKIPPED {driver.language}: {reason}")
                continue
            error = driver.prepare(tree)
            if error:
                sys.exit(f"{driver.language}: {error}")
            here.append(driver)
        times = {driver.language: [] for driver in here}
        for turn in range(rounds + 1):  # the first fills the caches and is not counted
            for driver in here:
                taken = seconds(driver, tree, settings, work / "run", [f"train.epochs={epochs}", f"train.eval_every={epochs}"])
                times[driver.language] += [taken] * (turn > 0)
    (tree.build / "bench").mkdir(exist_ok=True)
    show([row(language, taken, times["C"]) for language, taken in times.items()], tree.build / "bench/drivers.json")


if __name__ == "__main__":
    main()
