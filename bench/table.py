"""Prints a benchmark's JSON as a table: python3 bench/table.py FILE.json. Per case one line a rival: median time of a call,
the ratio of the first one's time to it (below 1: libmoe is faster), rate and peak memory where they are known."""
import json
import sys


def rivals_of(case):
    return [key[:-3] for key in case if key.endswith("_ms")]


def number(case, key, form):
    return form.format(case[key]) if key in case else ""


def main(path):
    with open(path, encoding="utf-8") as file:
        report = json.load(file)
    context = report["context"]
    print(f"{context.get('threads', '?')} threads; matrix products: {context.get('gemm', '?')}")
    print(f"{'case':38} {'rival':18} {'ms':>9} {'first / it':>10} {'GFLOP/s':>8} {'peak MB':>8}")
    for case in report["benchmarks"]:
        name = case["name"].split("/iterations:")[0]
        for rival in sorted(rivals_of(case), key=lambda one: f"{one}_x" in case):
            print(
                f"{name:38} {rival:18} {case[rival + '_ms']:9.3f} {number(case, rival + '_x', '{:.3f}'):>10} "
                f"{number(case, rival + '_gflops', '{:.0f}'):>8} {number(case, rival + '_peak_mb', '{:.1f}'):>8}"
            )
            name = ""


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python3 bench/table.py FILE.json")
    main(sys.argv[1])
