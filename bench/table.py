"""Reads what a benchmark wrote, prints it as a table and writes it as a list: python3 bench/table.py IN.json OUT.json.
One row a peer: {"name", "ours_ms", "peer", "peer_ms", "ratio", "goal", "runs"}, ours being the first rival of a case. ratio: the
median over the rounds of ours / peer, below 1 where libmoe is faster; goal: the most it may be; "spread": the quartiles of the
ratio. Where they are known also "ours_gflops" and "peer_gflops", "ours_mb" and "peer_mb" (peak memory), "memory_ratio" and "memory_goal"."""
import json
import sys

MILLISECONDS = {"ns": 1e-6, "us": 1e-3, "ms": 1, "s": 1e3}


def memory(case, rival):
    return case.get(rival + "_rss_mb", case.get(rival + "_peak_mb"))


def rows(case):
    rivals = [key[:-3] for key in case if key.endswith("_ms")]
    ours = next((rival for rival in rivals if rival + "_x" not in case), None)
    row = {"name": case["name"].split("/iterations:")[0], "ours_ms": case.get(f"{ours}_ms")}
    row |= {"peer": None, "peer_ms": None, "ratio": None, "spread": None, "goal": None, "runs": case["iterations"]}
    if ours is None:  # a loop of Google Benchmark's own
        yield row | {"ours_ms": case["real_time"] * MILLISECONDS[case["time_unit"]]}
        return
    row |= {"ours_gflops": case.get(ours + "_gflops"), "ours_mb": memory(case, ours)}
    peers = [rival for rival in rivals if rival != ours]
    for peer in peers:
        beside = {"peer": peer, "peer_ms": case[peer + "_ms"], "ratio": case[peer + "_x"], "goal": case.get(peer + "_goal")}
        beside |= {"spread": [case[peer + "_low"], case[peer + "_high"]]}
        beside |= {"peer_gflops": case.get(peer + "_gflops"), "peer_mb": memory(case, peer)}
        if beside["peer_mb"] and row["ours_mb"]:
            beside |= {"memory_ratio": row["ours_mb"] / beside["peer_mb"], "memory_goal": case.get(peer + "_rss_goal")}
        yield row | beside
    if not peers:
        yield row


def number(row, key, form):
    return "" if row.get(key) is None else form.format(row[key])


def milliseconds(row, key):
    """Three decimals, or two digits of what is shorter than a microsecond."""
    return number(row, key, "{:.3f}" if (row.get(key) or 1) >= 1e-3 else "{:.1e}")


def spread(row):
    return "" if row["spread"] is None else "{:.2f}-{:.2f}".format(*row["spread"])


def goal(row, key, aim):
    if row.get(aim) is None:
        return ""
    return f"{row[aim]:g} {'ok' if row[key] <= row[aim] else 'MISSED'}"


def line(row, named):
    return (
        f"{row['name'] if named else '':44} {milliseconds(row, 'ours_ms') if named else '':>10} {row['peer'] or '':18} "
        f"{milliseconds(row, 'peer_ms'):>10} {number(row, 'ratio', '{:.3f}'):>6} {spread(row):>9} {goal(row, 'ratio', 'goal'):>11} "
        f"{number(row, 'ours_gflops', '{:.0f}'):>6} {number(row, 'peer_gflops', '{:.0f}'):>6} "
        f"{number(row, 'ours_mb', '{:.1f}'):>8} {number(row, 'peer_mb', '{:.1f}'):>8} "
        f"{number(row, 'memory_ratio', '{:.3f}'):>6} {goal(row, 'memory_ratio', 'memory_goal'):>11}"
    ).rstrip()


def show(table, target):
    """Prints the rows and writes them to the file `target`."""
    print(
        f"{'case':44} {'ours ms':>10} {'peer':18} {'its ms':>10} {'ratio':>6} {'spread':>9} {'goal':>11} {'GF/s':>6} {'its':>6} "
        f"{'peak MB':>8} {'its':>8} {'ratio':>6} {'goal':>11}"
    )
    for before, row in zip([None] + table, table):
        print(line(row, before is None or before["name"] != row["name"]))
    with open(target, "w", encoding="utf-8") as file:
        json.dump(table, file, indent=1)


def main(source, target):
    with open(source, encoding="utf-8") as file:
        report = json.load(file)
    context = report["context"]
    print(f"{context.get('threads', '?')} threads; matrix products: {context.get('gemm', '?')}")
    show([row for case in report["benchmarks"] for row in rows(case)], target)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python3 bench/table.py IN.json OUT.json")
    main(sys.argv[1], sys.argv[2])
