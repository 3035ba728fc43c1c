#!/usr/bin/env python3
"""Writes runs of ijepa-run as offline runs of Weights & Biases, once, from their CSV files.

    pip install wandb pyyaml
    scripts/to_wandb.py --project NAME RUN...         run folders, such as results/*-s*
    wandb sync wandb/offline-run-*                    sends them

Runs of one experiment are a group; name, seed and all settings are in the configuration; steps are optimizer steps.
Nothing is sent and nothing is read from the network.
"""

import argparse
import csv
import math
import os
from pathlib import Path

import yaml


def rows(path):
    """Rows of a table; none where a run has no such table."""
    if not path.is_file():
        return []
    with path.open() as file:
        return list(csv.DictReader(file))


def number(text):
    """A cell as a number; none for an empty one or a text."""
    try:
        value = float(text)
    except (TypeError, ValueError):
        return None
    return value if math.isfinite(value) else None


def history(folder):
    """Step -> metric -> value, of all tables."""
    steps = {}
    for table, group in [("metrics.csv", "train"), ("epochs.csv", "epoch"), ("timing.csv", "timing")]:
        for row in rows(folder / table):
            values = {f"{group}/{name}": number(text) for name, text in row.items() if name not in ("step", "images")}
            steps.setdefault(int(row["step"]), {}).update({k: v for k, v in values.items() if v is not None})
    for row in rows(folder / "probes.csv"):
        name = "/".join(part for part in (row["probe"], row["encoder"], row["labels"], row["metric"]) if part)
        name += "" if row["split"] == "test" else f"@{row['split']}"
        steps.setdefault(int(row["step"]), {})[name] = float(row["value"])
    return steps


def export(folder, arguments):
    import wandb

    experiment = yaml.safe_load((folder / "experiment.yaml").read_text())
    run = wandb.init(
        mode="offline",
        dir=arguments.output,
        project=arguments.project,
        group=arguments.group or experiment["name"],
        name=folder.name,
        id=folder.name.rsplit("-s", 1)[-1].replace("/", "-"),
        config=experiment,
        settings=wandb.Settings(console="off", x_disable_stats=True, disable_git=True, save_code=False),
    )
    for step, values in sorted(history(folder).items()):
        run.log(values, step=step)
    run.finish()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--project", required=True)
    parser.add_argument("--group", help="group of the runs; by default the name of their experiment")
    parser.add_argument("--output", default=".", help="folder that receives wandb/offline-run-*")
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="run folder")
    arguments = parser.parse_args()
    strangers = [str(run) for run in arguments.runs if not (run / "experiment.yaml").is_file()]
    if strangers:
        parser.error("no run folders, they hold no experiment.yaml: " + ", ".join(strangers))
    os.environ.setdefault("WANDB_SILENT", "true")
    for run in arguments.runs:
        export(run.resolve(), arguments)
        print(run)


if __name__ == "__main__":
    main()
