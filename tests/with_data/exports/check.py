"""Opens exports with the programs that they are for, and compares what these say with what the run says.

check.py CHECK FOLDER: FOLDER holds what exports.rs beside this file has written there.
"""

import csv
import glob
import os
import subprocess
import sys

import numpy as np

# Nothing is to be looked up.
os.environ.update(HF_HUB_OFFLINE="1", MLFLOW_ALLOW_FILE_STORE="true", WANDB_MODE="offline", WANDB_SILENT="true")


def images(folder):
    """Test images in the order of the run: by class, then by name."""
    from PIL import Image

    files = sorted(glob.glob(f"{folder}/images/test/*/*.png"))
    return files, [Image.open(file) for file in files]


def rows(path):
    with open(path) as file:
        return list(csv.DictReader(file))


def predictions(folder):
    [path] = glob.glob(f"{folder}/runs/plain-s0-*/probes/linear-target-class-test-*.predictions.csv")
    return [row["prediction"] for row in rows(path)]


def close(name, found, expected, tolerance):
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.shape == expected.shape, f"{name}: shape {found.shape}, expected {expected.shape}"
    error = np.abs(found - expected).max()
    print(f"{name}: largest error {error:.2e} of values up to {np.abs(expected).max():.2f}")
    assert error <= tolerance, f"{name}: error {error}"


def transformers(folder, major):
    import torch
    import transformers
    from transformers import AutoImageProcessor, AutoModel, pipeline

    assert transformers.__version__.startswith(f"{major}."), transformers.__version__
    _, test = images(folder)
    processor = AutoImageProcessor.from_pretrained(f"{folder}/huggingface")
    model, info = AutoModel.from_pretrained(f"{folder}/huggingface", output_loading_info=True)
    for what in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        assert not info[what], (what, info[what])
    assert type(model).__name__ == "IJepaModel"
    with torch.no_grad():
        tokens = model.eval()(**processor(test, return_tensors="pt")).last_hidden_state
    close("tokens", tokens, np.load(f"{folder}/tokens.npy"), 2e-5)
    _, others = odd(folder)
    with torch.no_grad():
        features = model(**processor(others, return_tensors="pt")).last_hidden_state.mean(1)
    # Resized by another program: a level of a channel here and there.
    close("features of images of other sizes", features, np.load(f"{folder}/odd.npy"), 0.03)
    # The classifier.
    classify = pipeline("image-classification", f"{folder}/classifier", device="cpu")
    found = [answers[0]["label"] for answers in classify(list(test))]
    agrees("classifier", found, predictions(folder), folder)


def odd(folder):
    from PIL import Image

    files = sorted(glob.glob(f"{folder}/odd/*.png"))
    return files, [Image.open(file) for file in files]


def agrees(name, found, expected, folder):
    """The same class for every image, hence the accuracy of the table."""
    wrong = [i for i, (a, b) in enumerate(zip(found, expected, strict=True)) if a != b]
    assert not wrong, f"{name}: another class than the probe for images {wrong}"
    files, _ = images(folder)
    right = sum(label == file.split("/")[-2] for label, file in zip(found, files))
    [path] = glob.glob(f"{folder}/runs/plain-s0-*/probes.csv")
    key = dict(probe="linear", encoder="target", labels="class", split="test", metric="top1")
    [row] = [row for row in rows(path) if all(row[k] == v for k, v in key.items())]
    accuracy = 100 * right / len(files)
    print(f"{name}: accuracy {accuracy}, the run says {row['value']}")
    assert 30 < accuracy < 100, "a classifier that is always right, or never, shows little"
    assert abs(accuracy - float(row["value"])) < 1e-6


def load_timm(path, eps):
    import timm
    import torch

    model = timm.create_model("local-dir:" + path, pretrained=True).eval()
    for module in model.modules():
        if isinstance(module, torch.nn.LayerNorm):
            module.eps = eps
    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model))
    return model, transform


def timm(folder):
    import torch

    _, test = images(folder)
    for name, tokens in [("timm", "tokens.npy"), ("timm-variant", "tokens-variant.npy")]:
        model, transform = load_timm(f"{folder}/{name}", 1e-5)
        batch = torch.stack([transform(image) for image in test])
        with torch.no_grad():
            found = model.forward_features(batch)[:, model.num_prefix_tokens :]
        close(name, found, np.load(f"{folder}/{tokens}"), 2e-5)
    model, transform = load_timm(f"{folder}/timm-classifier", 1e-5)
    with torch.no_grad():
        logits = model(torch.stack([transform(image) for image in test]))
    names = model.pretrained_cfg.get("label_names") or sorted({f.split("/")[-2] for f in images(folder)[0]})
    agrees("timm classifier", [names[i] for i in logits.argmax(1)], predictions(folder), folder)


def tensorboard(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams import plugin_data_pb2

    runs = sorted(os.listdir(f"{folder}/tensorboard"))
    assert len(runs) == 3, runs
    groups = []
    for run in runs:
        events = EventAccumulator(f"{folder}/tensorboard/{run}", size_guidance={"scalars": 0}).Reload()
        scalars = events.Tags()["scalars"]
        assert {"train/loss", "epoch/loss", "linear/target/class/top1", "timing/images_per_second"} <= set(scalars)
        table = rows(f"{folder}/runs/{run}/metrics.csv")
        found = [(event.step, event.value) for event in events.Scalars("train/loss")]
        expected = [(int(row["step"]), float(np.float32(row["loss"]))) for row in table]
        assert found == expected, (found, expected)
        times = [event.wall_time for event in events.Scalars("train/loss")]
        assert times == sorted(times) and times[0] > 1.7e9, times
        content = events.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
        start = plugin_data_pb2.HParamsPluginData.FromString(content).session_start_info
        groups.append((start.group_name, start.hparams["seed"].number_value))
        content = events.SummaryMetadata("_hparams_/session_end_info").plugin_data.content
        end = plugin_data_pb2.HParamsPluginData.FromString(content).session_end_info
        assert end.status == 1 and end.end_time_secs >= start.start_time_secs > 1.7e9
    live(folder)
    print(groups)
    arms = sorted({group for group, _ in groups})
    assert len(arms) == 2 and sorted(seed for _, seed in groups) == [0, 0, 1], groups


def live(folder):
    """A run that wrote event files while it went on, in two processes."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams import plugin_data_pb2

    (run,) = os.listdir(f"{folder}/live")
    board = f"{folder}/live/{run}/tensorboard"
    assert len(os.listdir(board)) == 2, os.listdir(board)
    events = EventAccumulator(board, size_guidance={"scalars": 0}).Reload()
    for tag, table, column in [("train/loss", "metrics", "loss"), ("epoch/loss", "epochs", "loss")]:
        found = [(event.step, event.value) for event in events.Scalars(tag)]
        expected = [(int(row["step"]), float(np.float32(row[column]))) for row in rows(f"{folder}/live/{run}/{table}.csv")]
        assert found == expected, (tag, found, expected)
    assert len(events.Scalars("linear/target/class/top1")) == 1 and events.Scalars("timing/images_per_second")[-1].value > 0
    content = events.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    start = plugin_data_pb2.HParamsPluginData.FromString(content).session_start_info
    assert start.hparams["encoder.dim"].number_value == 32 and start.group_name.startswith("plain-"), start


def mlflow(folder):
    import mlflow as program

    program.set_tracking_uri(f"file://{folder}/mlflow")
    client = program.MlflowClient()
    experiments = client.search_experiments()
    found = [run for e in experiments for run in client.search_runs([e.experiment_id])]
    assert len(found) == 3, found
    for run in found:
        name = run.info.run_name
        assert run.info.status == "FINISHED" and run.info.end_time >= run.info.start_time > 1.7e12
        table = rows(f"{folder}/runs/{name}/metrics.csv")
        history = client.get_metric_history(run.info.run_id, "train/loss")
        assert [(m.step, m.value) for m in history] == [(int(r["step"]), float(r["loss"])) for r in table]
        assert "linear/target/class/top1" in run.data.metrics
        assert run.data.params["encoder.dim"] in ("16", "32") and run.data.params["seed"] in ("0", "1")
        assert run.data.tags["arm"] and run.data.tags["identity"] in name
        path = client.download_artifacts(run.info.run_id, "experiment.yaml")
        assert open(path).read() == open(f"{folder}/runs/{name}/experiment.yaml").read()


def leveldb_log(file):
    """Records of a log of LevelDB behind 7 bytes: blocks of 32 KiB, each record of checksum, length, type, data."""
    with open(file, "rb") as log:
        content = log.read()
    at, parts = 7, b""
    while at + 7 <= len(content):
        if 32768 - at % 32768 < 7:
            at += 32768 - at % 32768
            continue
        length, kind = int.from_bytes(content[at + 4 : at + 6], "little"), content[at + 6]
        parts += content[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):
            yield parts
            parts = b""


def wandb(folder):
    from wandb.proto import wandb_internal_pb2

    script = os.path.join(os.path.dirname(__file__), "../../../scripts/to_wandb.py")
    runs = sorted(glob.glob(f"{folder}/runs/*-s*"))
    out = f"{folder}/wandb-out"
    os.makedirs(out, exist_ok=True)
    subprocess.run([sys.executable, script, "--project", "tests", "--output", out, *runs], check=True)
    files = glob.glob(f"{out}/wandb/offline-run-*/*.wandb")
    assert len(files) == len(runs) == 3, files
    for file in files:
        steps, losses, run = [], [], None
        for data in leveldb_log(file):
            record = wandb_internal_pb2.Record.FromString(data)
            kind = record.WhichOneof("record_type")
            if kind == "run":
                run = record.run
            if kind == "history":
                values = {item.key or "/".join(item.nested_key): item.value_json for item in record.history.item}
                if "train/loss" in values:
                    steps.append(int(values["_step"]))
                    losses.append(float(values["train/loss"]))
        table = rows(f"{folder}/runs/{run.display_name}/metrics.csv")
        assert steps == [int(row["step"]) for row in table], steps
        assert losses == [float(row["loss"]) for row in table], losses
        assert run.run_group and run.project == "tests"


CHECKS = {
    "transformers-4": lambda folder: transformers(folder, 4),
    "transformers-5": lambda folder: transformers(folder, 5),
    "timm": timm,
    "tensorboard": tensorboard,
    "mlflow": mlflow,
    "wandb": wandb,
}

if __name__ == "__main__":
    CHECKS[sys.argv[1]](sys.argv[2])
