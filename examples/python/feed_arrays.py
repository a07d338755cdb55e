#!/usr/bin/env python3
"""A program with its own data and its own loop: pictures with coloured boxes, made here as NumPy arrays, train a model
of three experts. Every step takes a window of two micro-batches. Then a table of what the experts did, and what the
model finds in pictures that it has not seen.

    feed_arrays.py [STEPS]
"""
import sys

import numpy as np

import moe

BATCH, SIDE, BOXES, WINDOW = 4, 96, 2, 2
COLOURS = ["red", "green", "blue"]
SETTINGS = {
    "task": "rtdetr",
    "data": {"classes": COLOURS, "size": [SIDE, SIDE]},
    "model": {
        "backbone": {"width": 0.25},
        "hidden": 32,
        "encoder": {"ffn": 64},
        "decoder": {"layers": 2, "ffn": 64},
        "denoising": {"queries": 20},
        "experts": {"kind": "class_partitioned", "groups": "by_class", "top_k": 2, "queries": 20},
    },
    "optimizer": {"lr": 2e-3},
}


def paint(image, random):
    """Adds a box of one colour to an image [3, SIDE, SIDE]; gives its label and cx, cy, w, h in shares of the side."""
    label = random.integers(len(COLOURS))
    w, h = random.integers(16, 40, 2)
    x, y = random.integers(SIDE - w), random.integers(SIDE - h)
    image[:, y:y + h, x:x + w] = np.where(np.arange(3) == label, 0.9, 0.1)[:, None, None]
    return label, [(x + w / 2) / SIDE, (y + h / 2) / SIDE, w / SIDE, h / SIDE]


def make_batch(random):
    """images float32 [B, 3, H, W] in 0..1, boxes float32 [N, 4] and labels int64 [N] of all pictures in a row, offsets
    int64 [B + 1]: the boxes of picture i are rows offsets[i] to offsets[i + 1] - 1."""
    images = random.uniform(0.4, 0.6, (BATCH, 3, SIDE, SIDE)).astype(np.float32)
    targets = [paint(image, random) for image in images for _ in range(BOXES)]
    return {"images": images,
            "boxes": np.array([box for _, box in targets], np.float32),
            "labels": np.array([label for label, _ in targets], np.int64),
            "offsets": np.arange(0, BATCH * BOXES + 1, BOXES)}


def train(session, steps, random):
    for _ in range(steps):
        for _ in range(WINDOW):
            session.feed(make_batch(random))
        info = session.step()  # all or nothing
        if info.step % 10 == 0 or info.step == steps:
            print(f"step {info.step:4}  loss {info.loss:7.3f}  gradient {info.grad_norm:7.3f}  {1e3 * info.seconds:.0f} ms")


def print_experts(session):
    """Every mixture layer over the whole training."""
    for i, layer in enumerate(session.layers):
        total = session.layer_stats(i, moe.Window.LIFETIME)
        print(f"\n{layer.name}: {total.tokens} {layer.unit}s, {total.assignments} assignments, "
              f"entropy of the load {total.marginal_entropy:.2f}")
        print("  expert      tokens   share   gate")
        for name, expert in zip(session.expert_names(i), session.expert_stats(i, moe.Window.LIFETIME)):
            print(f"  {name:<10} {expert.tokens:7} {expert.share:7.1%} {expert.gate_mean:6.2f}  {'#' * round(40 * expert.share)}")
        print("\n  class     " + "".join(f"{name:>10}" for name in session.expert_names(i)))
        for name, row in zip(COLOURS, session.class_routing(i, moe.Window.LIFETIME)):
            print(f"  {name:<10}" + "".join(f"{count:10}" for count in row))


def show_predictions(session, scene):
    """The best detection of every picture beside its true boxes."""
    found = session.predict(scene)
    offsets, scores, labels, boxes = (found[name] for name in ("offsets", "scores", "labels", "boxes"))
    print()
    for i in range(BATCH):
        true = " and ".join(COLOURS[label] for label in scene["labels"][i * BOXES:(i + 1) * BOXES])
        best = offsets[i]  # best first
        left, top, right, bottom = boxes[best]  # pixels
        print(f"picture {i}: true {true}; found {COLOURS[labels[best]]} with score {scores[best]:.2f} "
              f"at x {left:.0f}..{right:.0f}, y {top:.0f}..{bottom:.0f}")


def main(steps):
    random = np.random.default_rng(1)
    with moe.Session(moe.Config.parse(SETTINGS)) as session:
        train(session, steps, random)
        print_experts(session)
        show_predictions(session, make_batch(random))


if __name__ == "__main__":
    try:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 150)
    except (moe.Error, ValueError) as error:
        sys.exit(str(error))
