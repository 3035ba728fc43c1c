#!/usr/bin/env python3
"""Times a training step with other predictors, and with two views, in turns with the step of experiments/baseline.yaml.

    benches/step_ratios.py [--repeats N] [--warmup N] [--batch N] [--threads N] [key=value ...]

Both steps run on the same generated images, each in a process of its own (`benches/step.rs`), one step of one and one of
the other in alternating order, with further settings for both as `key=value`. One line per measurement:

    ratio joint 0.88 at most 0.91    median over pairs of its step time over the baseline's; exits with 1 above the limit

A step with two views of every image shares one pass of the teacher, and is compared with two steps. `benches/step.rs` is built
by cargo, or in the folder named by IJEPA_BENCHES.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys

# Name, settings, steps of the baseline that it stands for, and the largest ratio.
ROWS = [
    ("joint", ["predictor.kind=joint"], 1, 0.91),
    ("cross_attention", ["predictor.kind=cross_attention"], 1, 0.83),
    ("two_views", ["masking.draws=2"], 2, 0.85),
]


class Step:
    """A process that takes a training step for every line."""

    def __init__(self, options, settings):
        arguments = ["--batch", str(options.batch), "--threads", str(options.threads), *settings]
        ready = os.environ.get("IJEPA_BENCHES")
        child = [f"{ready}/step"] if ready else ["cargo", "bench", "-q", "--bench", "step", "--"]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.child = subprocess.Popen([*child, *arguments, *options.settings], **pipes)

    def milliseconds(self):
        print("step", file=self.child.stdin, flush=True)
        line = self.child.stdout.readline()
        if not line:
            sys.exit("the step could not be timed; its process says why above")
        return json.loads(line)["milliseconds"]

    def close(self):
        self.child.stdin.close()
        self.child.wait()


def in_turns(options, settings):
    """Pairs of step times: the baseline's, and that with these settings."""
    steps = [Step(options, []), Step(options, settings)]
    pairs = []
    for turn in range(options.warmup + options.repeats):
        order = [0, 1] if turn % 2 == 0 else [1, 0]
        times = {which: steps[which].milliseconds() for which in order}
        pairs.append((times[0], times[1]))
    for step in steps:
        step.close()
    return pairs[options.warmup :]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--warmup", type=int, default=2)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", choices=[row[0] for row in ROWS], action="append", help="one row; may be repeated")
    parser.add_argument("settings", nargs="*", metavar="key=value")
    options = parser.parse_args()
    above = False
    for name, settings, steps, limit in ROWS:
        if options.only and name not in options.only:
            continue
        pairs = in_turns(options, settings)
        ratio = statistics.median(other / (steps * base) for base, other in pairs)
        above |= ratio > limit
        print(f"ratio {name} {ratio:.2f} at most {limit}", flush=True)
    sys.exit(1 if above else 0)


if __name__ == "__main__":
    main()
