#!/usr/bin/env python3
"""A whole training in a folder, with progress. Stop it with Ctrl-C, run it again, and it goes on.

    train.py CONFIG FOLDER [KEY=VALUE ...]
"""
import sys

import moe


def main(settings, folder, *overrides):
    config = moe.Config(settings)
    config.update(override.split("=", 1) for override in overrides)
    with moe.Run(config, folder, log=lambda level, text: print(text)) as run:
        for event in run:
            print(f"{100 * event.step / max(event.steps, 1):3.0f} %  {event.text}", flush=True)
        print("digest", run.session["state.digest"])  # of weights and optimizer: the same on every machine of its kind


if __name__ == "__main__":
    if len(sys.argv) < 3 or not all("=" in override for override in sys.argv[3:]):
        sys.exit(__doc__.strip().splitlines()[-1])
    try:
        main(*sys.argv[1:])
    except KeyboardInterrupt:
        print(f"stopped; the same command goes on with {sys.argv[2]}", file=sys.stderr)
        sys.exit(130)  # as the shell counts a program that Ctrl-C ended
    except moe.Error as error:
        sys.exit(str(error))
