#!/usr/bin/env python3
"""Draws what share of a mixture layer's assignments every expert got, step by step, from the metrics.jsonl of a run.

    plot_shares.py FOLDER [PICTURE]        (default: FOLDER/expert_shares.png)

Needs matplotlib, and no libmoe: metrics.jsonl is JSON, one event a line.
"""
import json
import os
import sys


def read_shares(path):
    """{layer: ([step], {expert: [share]})} of the step events of a metrics.jsonl."""
    layers = {}
    with open(path, encoding="utf-8") as lines:
        events = [json.loads(line) for line in lines]
    for event in events:
        for layer, numbers in event.get("routing", {}).items() if event["event"] == "step" else ():
            steps, shares = layers.setdefault(layer, ([], {}))
            steps.append(event["step"])
            for expert, stat in numbers["experts"].items():
                shares.setdefault(expert, []).append(stat["share"])
    return layers


def draw(layers, title, picture):
    import matplotlib
    matplotlib.use("Agg")  # a file needs no screen
    from matplotlib import pyplot
    figure, axes = pyplot.subplots(len(layers), 1, figsize=(8, 1 + 2.5 * len(layers)), sharex=True, squeeze=False,
                                   layout="constrained")
    for axis, (layer, (steps, shares)) in zip(axes[:, 0], layers.items()):
        bands = axis.stackplot(steps, shares.values(), labels=shares, alpha=0.85)
        axis.set(title=layer, ylabel="share of assignments", ylim=(0, 1), xlim=(steps[0], max(steps[-1], steps[0] + 1)))
        axis.legend(handles=bands[::-1], loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)  # in their order
    axes[-1, 0].set_xlabel("step")
    figure.suptitle(title)
    figure.savefig(picture, dpi=120)


def main(folder, picture=None):
    picture = picture or os.path.join(folder, "expert_shares.png")
    metrics = os.path.join(folder, "metrics.jsonl")
    layers = read_shares(metrics)
    if not layers:
        sys.exit(f"{metrics}: expected step events with the shares of experts, found none")
    draw(layers, os.path.basename(os.path.abspath(folder)), picture)
    print(picture)


if __name__ == "__main__":
    if not 2 <= len(sys.argv) <= 3:
        sys.exit("usage: plot_shares.py FOLDER [PICTURE]")
    try:
        main(*sys.argv[1:])
    except ModuleNotFoundError as error:
        sys.exit(f"plot_shares.py: expected the Python package matplotlib (apt install python3-matplotlib), got: {error}")
    except OSError as error:
        sys.exit(str(error))
