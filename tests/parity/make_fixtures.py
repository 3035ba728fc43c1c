#!/usr/bin/env python3
"""Computes with PyTorch the numbers that `tests/parity` compares the program with.

    python3 -m venv /tmp/parity && /tmp/parity/bin/pip install torch==2.15.0 numpy==2.4.6 safetensors==0.8.0
    /tmp/parity/bin/python tests/parity/make_fixtures.py            # writes tests/parity/fixtures
    /tmp/parity/bin/python tests/parity/make_fixtures.py --check    # compares with what is there

`definitions.py` has the models. Everything is computed in float64 on one thread, from inputs that f32 holds
exactly, and stored as f32 (schedules and sine-cosine tables as f64, indices as i64). Every parameter is moved
off its initial value first, so that a forgotten bias, gain or head shows.

Two folders, `seed` (the CIFAR-10 recipe) and `meta` (the paper's), hold

    case_*.safetensors          five optimizer steps of a small model: weights before and after, images, masks,
                                losses, activations, gradients, moments
    ops.safetensors             a transformer block, losses, normalisations, with gradients
    schedules.safetensors       learning rate, weight decay and momentum of every step of some settings
    mask_stats.json             how often sizes, lengths and patches occur in masks
    seed/linear_probe.*         a probe trained by SGD on given features in a given order
    meta/sincos.*, init_stats.* position tables; mean, deviation and largest value of initial parameters

with the settings in the metadata of each file. Fixtures made with the modules of the two repositories
(`tests/with_data`) have the same form.
"""

import argparse
import copy
import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.numpy import load_file, save_file
from torch import nn

from definitions import CIFAR, EPS, PAPER, Block, Encoder, Masks, Predictor
from definitions import cifar_schedules, initialise, is_decayed, loss, paper_schedules, rows, shares, sincos

TORCH, STEPS = "2.15.0", 5
# What PyTorch's attention and the CIFAR-10 recipe call the parts of a predictor.
CIFAR_NAMES = {"predictor_pos_embed": "pos_embed", "predictor_blocks": "blocks", "predictor_norm": "norm",
               "predictor_embed": "input_proj", "predictor_proj": "output_proj"}
MODEL = {"img": 12, "patch": 3, "dim": 12, "depth": 2, "heads": 3, "pdim": 8, "pdepth": 1, "pheads": 2}
CIFAR_CASE = MODEL | {
    "batch": 2, "spe": 3, "epochs": 4, "warmup": 1, "lr": 2e-3, "min_lr": 1e-5, "wd": 0.05, "ema0": 0.99, "ema1": 1.0,
    "num_targets": 4, "target_scale": [0.15, 0.25], "aspect": [0.75, 1.5], "context_scale": [0.75, 0.95]}
PAPER_CASE = MODEL | {
    "batch": 3, "ipe": 4, "epochs": 3, "warmup": 0.5, "start_lr": 1e-4, "lr": 2e-3, "final_lr": 1e-5, "wd": 0.04,
    "final_wd": 0.4, "ema": [0.99, 1.0], "ipe_scale": 1.25, "nenc": 2, "npred": 3, "enc_scale": [0.7, 0.9],
    "pred_scale": [0.15, 0.3], "min_keep": 1, "allow_overlap": False, "aspect": [0.75, 1.5]}


def normal(*shape, scale=1.0):
    """Numbers that f32 holds exactly, as f64."""
    return (scale * torch.randn(*shape)).float().double()


def plain(tensor):
    """What is stored of a tensor: integers and f64 arrays of `numpy` as they are, tensors as f32."""
    if isinstance(tensor, torch.Tensor):
        tensor = tensor.detach()
        tensor = (tensor.float() if tensor.is_floating_point() else tensor).numpy()
    return np.ascontiguousarray(tensor)


def save(folder, name, tensors, **info):
    """NAME.safetensors, with `info` as JSON in its metadata."""
    info |= {"torch": TORCH, "generator": "tests/parity/make_fixtures.py"}
    stored = {key: plain(value) for key, value in tensors.items()}
    save_file(stored, folder / f"{name}.safetensors", metadata={"info": json.dumps(info)})


def write_json(folder, name, value):
    rounded = json.loads(json.dumps(value), parse_float=lambda text: float(f"{float(text):.6g}"))
    (folder / f"{name}.json").write_text(json.dumps(rounded) + "\n")


def off_initial(module):
    """Moves every trained parameter off its initial value."""
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.requires_grad:
                parameter.add_(0.2 * torch.randn_like(parameter))
    return module.double()


class Training:
    """Model, optimizer and schedules of one case."""

    def __init__(self, recipe, config):
        self.recipe, self.config, c = recipe, config, config
        sizes = [c[k] for k in ("img", "patch", "dim", "depth", "heads")]
        self.student, self.teacher = (off_initial(Encoder(recipe, *sizes)) for _ in range(2))
        self.teacher.requires_grad_(False)
        side = c["img"] // c["patch"]
        predictor = Predictor(recipe, side, c["dim"], c["pdim"], c["pdepth"], c["pheads"])
        self.predictor, self.masks = off_initial(predictor), Masks(side, side, np.random.default_rng(1))
        self.moving = [p for p in self.student.parameters()]
        if recipe == CIFAR:
            keys = ("spe", "epochs", "warmup", "lr", "min_lr", "ema0", "ema1")
            self.rate, self.momentum = cifar_schedules(*(c[k] for k in keys))
            self.decay = np.full(len(self.rate), c["wd"])
        else:
            keys = ("ipe", "epochs", "warmup", "start_lr", "lr", "final_lr", "wd", "final_wd", "ema", "ipe_scale")
            self.rate, self.decay, self.momentum = paper_schedules(*(c[k] for k in keys))
        split = {True: [], False: []}
        for name, parameter in self.trained():
            split[is_decayed(recipe, name, parameter)].append(parameter)
        groups = [{"params": ps, "decays": decays} for decays, ps in split.items() if ps]
        self.optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.999), eps=1e-8)

    def name(self, root, name):
        if self.recipe == PAPER:
            return f"{'encoder' if root == 'context_encoder' else root}.{name}"
        return f"{root}.{'.'.join(CIFAR_NAMES.get(part, part) for part in name.split('.'))}"

    def parameters(self):
        roots = {"context_encoder": self.student, "target_encoder": self.teacher, "predictor": self.predictor}
        return [(self.name(root, n), p) for root, module in roots.items() for n, p in module.named_parameters()]

    def trained(self):
        return [(n, p) for n, p in self.parameters() if p.requires_grad]

    def draw(self):
        """Contexts and targets as lists of (B, n), and the tensors stored for them."""
        c = self.config
        if self.recipe == CIFAR:
            context, targets = (self.masks.cifar(c))
            shared = [torch.tensor(patches) for patches in (context, *targets)]
            stored = {"context_idx": shared[0]} | {f"target_idx/{m}": t for m, t in enumerate(shared[1:])}
            whole = [patches.expand(c["batch"], -1) for patches in shared]
            return whole[:1], whole[1:], stored
        batch = self.masks.paper_batch(c, c["batch"])
        contexts, targets = ([torch.tensor(block) for block in zip(*side)] for side in zip(*batch))
        stored = {f"context_idx/{i}": t for i, t in enumerate(contexts)}
        return contexts, targets, stored | {f"target_idx/{m}": t for m, t in enumerate(targets)}

    def forward(self, images, contexts, targets):
        """Predictions and targets, for each target block from each context, and what came before them."""
        whole = self.teacher(images)
        wanted = F.layer_norm(whole, whole.shape[-1:]) if self.recipe == PAPER else whole
        encoded = [self.student(images, c) for c in contexts]
        pairs = [(t, c, e) for t in targets for c, e in zip(contexts, encoded)]
        predicted = [self.predictor(e, c, t) for t, c, e in pairs]
        seen = {"patch_embed": self.student.embedded(images), "context_out": torch.cat(encoded),
                "context_full_out": self.student(images), "target_out": whole, "features": whole.mean(1)}
        return predicted, [rows(wanted, t) for t, _, _ in pairs], seen | {"target_normed": wanted}

    def update(self, step):
        for group in self.optimizer.param_groups:
            group["lr"], group["weight_decay"] = self.rate[step], group["decays"] * self.decay[step]
        self.optimizer.step()
        with torch.no_grad():
            for teacher, student in zip(self.teacher.parameters(), self.student.parameters()):
                teacher.copy_(self.momentum[step] * teacher + (1 - self.momentum[step]) * student)

    def step_zero(self, predicted, targets, seen):
        """Activations and gradients of the first step."""
        if self.recipe == CIFAR:
            del seen["target_normed"]
            blocks = {f"pred/{m}": p for m, p in enumerate(predicted)}
            blocks |= {f"target/{m}": t for m, t in enumerate(targets)}
        else:
            blocks = {"pred": torch.cat(predicted), "target": torch.cat(targets)}
        return blocks | seen | {f"grad/{n}": p.grad.clone() for n, p in self.trained()}

    def weights(self, after):
        moving = [(n, p) for n, p in self.parameters() if after == 0 or not n.endswith("pos_embed") or self.recipe == CIFAR]
        return {f"w{after}/{n}": p.detach().clone() for n, p in moving}


def case(recipe, config, folder):
    torch.manual_seed(11)
    training, c = Training(recipe, config), config
    tensors = training.weights(0) | {"images": normal(STEPS, c["batch"], 3, c["img"], c["img"])}
    for step in range(STEPS):
        contexts, targets, stored = training.draw()
        predicted, wanted, seen = training.forward(tensors["images"][step], contexts, targets)
        value = loss(recipe, predicted, wanted)
        training.optimizer.zero_grad()
        value.backward()
        stored |= {"loss": value} | (training.step_zero(predicted, wanted, seen) if step == 0 else {})
        tensors |= {f"step{step}/{name}": t for name, t in stored.items()}
        training.update(step)
    tensors |= training.weights(STEPS) | {"lr": training.rate[:STEPS], "momentum": training.momentum[:STEPS]}
    tensors |= {"wd": training.decay[:STEPS]} if recipe == PAPER else {}
    for moment in ("exp_avg", "exp_avg_sq"):
        states = training.optimizer.state
        tensors |= {f"adam{STEPS}/{moment}/{n}": states[p][moment] for n, p in training.trained()}
    save(folder, "case_small", tensors, config=config)


def leaf(x):
    return x.clone().requires_grad_(True)


def block_ops(recipe):
    """One block: y of x, and the gradients of sum(y gy)."""
    block, x, upstream = off_initial(Block(recipe, 15, 5)), leaf(normal(2, 7, 15)), normal(2, 7, 15)
    y = block(x)
    (y * upstream).sum().backward()
    tensors = {"x": x, "y": y, "gy": upstream, "gx": x.grad}
    for name, parameter in block.named_parameters():
        tensors |= {f"w/{name}": parameter, f"gw/{name}": parameter.grad}
    return {f"block/{name}": t for name, t in tensors.items()}


def cifar_ops(folder):
    torch.manual_seed(12)
    x = leaf(torch.cat([torch.linspace(-8, 8, 129), torch.tensor([1e-4, -1e-4, 12.0, -12.0])]).double())
    y = F.gelu(x)
    tensors = block_ops(CIFAR) | {"gelu/x": x, "gelu/y": y, "gelu/dydx": torch.autograd.grad(y.sum(), x)[0]}
    predictions = [leaf(normal(3, n, 10)) for n in (9, 12, 16, 4)]
    targets = [normal(*p.shape) for p in predictions]
    value = loss(CIFAR, predictions, targets)
    slopes = torch.autograd.grad(value, predictions)
    for name, parts in {"pred": predictions, "target": targets, "dpred": slopes}.items():
        tensors |= {f"loss/{name}/{i}": t for i, t in enumerate(parts)}
    images = torch.randint(0, 256, (3, 10, 9, 3), dtype=torch.uint8)
    mean, std = (torch.tensor(v).view(3, 1, 1).double() for v in ([0.4914, 0.4822, 0.4465], [0.2470, 0.2435, 0.2616]))
    scaled = (images.permute(0, 3, 1, 2).double() / 255 - mean) / std
    tensors |= {"loss/value": value, "norm/u8_hwc": images, "norm/out": scaled, "norm/out_hflip": scaled.flip(-1)}
    save(folder, "ops", tensors, block_heads="5")


def paper_ops(folder):
    torch.manual_seed(13)
    target = normal(129)
    prediction = leaf((target + torch.linspace(-3, 3, 129)).float().double())
    value = F.smooth_l1_loss(prediction, target)
    slope = torch.autograd.grad(value, prediction)[0]
    x = normal(2, 5, 30, scale=3.0)
    save(folder, "ops", block_ops(PAPER) | {
        "smooth_l1/pred": prediction, "smooth_l1/target": target, "smooth_l1/loss": value, "smooth_l1/dpred": slope,
        "target_norm/x": x, "target_norm/y": F.layer_norm(x, (30,), eps=1e-5)}, block_heads="5")


def schedules(folder, settings, names, of):
    """All steps of every setting; `of(setting)` gives the arrays `names`."""
    tensors = {}
    for i, setting in enumerate(settings):
        arrays = of(setting)
        tensors |= {f"s{i}/step": np.arange(len(arrays[0]))} | {f"s{i}/{n}": a for n, a in zip(names, arrays)}
    save(folder, "schedules", tensors, settings=settings)


def cifar_settings():
    keys = ("spe", "epochs", "warmup", "base", "final", "m0", "m1")
    values = [(7, 12, 3, 1e-3, 1e-5, 0.996, 1.0), (10, 5, 0, 5e-4, 0.0, 0.99, 0.999), (3, 2, 2, 1e-3, 1e-5, 0.9, 0.9),
              (1, 1, 0, 1e-3, 1e-5, 0.996, 1.0), (5, 3, 1, 3e-3, 3e-3, 0.5, 0.6)]
    return [dict(zip(keys, v)) for v in values]


def paper_settings():
    keys = ("ipe", "epochs", "warmup", "start_lr", "lr", "final_lr", "wd", "final_wd", "ema", "ipe_scale")
    values = [(9, 10, 2, 2e-4, 1e-3, 1e-6, 0.04, 0.4, [0.996, 1.0], 1.0),
              (7, 5, 1, 2e-4, 1e-3, 1e-6, 0.04, 0.4, [0.996, 1.0], 1.25),
              (10, 3, 0, 0.0, 5e-4, 0.0, 0.2, 0.05, [0.99, 0.999], 1.0),
              (11, 4, 1.5, 1e-5, 3e-3, 1e-4, 0.05, 0.05, [0.9, 0.9], 1.1)]
    return [dict(zip(keys, v)) for v in values]


def cifar_masks(folder, draws=20_000):
    settings = [{"grid": [8, 8], "num_targets": 4, "target_scale": [0.15, 0.25], "aspect": [0.75, 1.5],
                 "context_scale": [0.75, 0.95]},
                {"grid": [6, 10], "num_targets": 2, "target_scale": [0.1, 0.3], "aspect": [0.5, 2.0],
                 "context_scale": [0.6, 0.9]}]
    stats = []
    for i, setting in enumerate(settings):
        masks = Masks(*setting["grid"], np.random.default_rng(20 + i))
        drawn = [masks.cifar(setting) for _ in range(draws)]
        targets = [t for _, ts in drawn for t in ts]
        stats.append({"setting": setting, "draws": draws,
                      "target_block_hxw": shares(shape(t, masks.cols) for t in targets),
                      "target_block_tokens": shares(map(len, targets)),
                      "target_tokens_union": shares(len(set().union(*ts)) for _, ts in drawn),
                      "context_tokens": shares(len(c) for c, _ in drawn),
                      "patch_frequency_in_a_target_block": frequency(targets, masks),
                      "patch_frequency_in_context": frequency([c for c, _ in drawn], masks)})
    write_json(folder, "mask_stats", {"stats": stats})


def paper_masks(folder, batches=2_000, size=8):
    common = {"nenc": 1, "npred": 4, "min_keep": 4, "aspect": [0.75, 1.5], "allow_overlap": False}
    settings = [common | {"grid": 8, "enc_scale": [0.85, 1.0], "pred_scale": [0.15, 0.2]},
                common | {"grid": 8, "enc_scale": [0.75, 0.95], "pred_scale": [0.15, 0.2], "allow_overlap": True},
                common | {"grid": 10, "enc_scale": [0.85, 1.0], "pred_scale": [0.1, 0.25], "aspect": [0.5, 2.0], "nenc": 2}]
    stats = []
    for i, setting in enumerate(settings):
        masks = Masks(setting["grid"], setting["grid"], np.random.default_rng(30 + i))
        drawn = [masks.paper_batch(setting, size) for _ in range(batches)]
        images = [image for batch in drawn for image in batch]
        unions = [np.mean([len(set().union(*targets)) for _, targets in batch]) for batch in drawn]
        collator = {"batches": batches, "batch_size": size, "target_union_mean": float(np.mean(unions)),
                    "context_tokens_after_truncation": shares(len(batch[0][0][0]) for batch in drawn),
                    "target_tokens_after_truncation": shares(len(batch[0][1][0]) for batch in drawn),
                    "patch_frequency_in_context": frequency([c for cs, _ in images for c in cs], masks),
                    "patch_frequency_in_a_target_block": frequency([t for _, ts in images for t in ts], masks)}
        sizes = shares(shape(batch[0][1][0], masks.cols) for batch in drawn)
        stats.append({"setting": setting, "grid": setting["grid"], "block_size_draws": batches,
                      "pred_block_hxw": sizes, "collator": collator})
    write_json(folder, "mask_stats", {"stats": stats})


def shape(block, cols):
    height, width = block[-1] // cols - block[0] // cols + 1, block[-1] % cols - block[0] % cols + 1
    return f"{height}x{width}"


def frequency(lists, masks):
    seen = np.zeros(masks.rows * masks.cols)
    for patches in lists:
        seen[patches] += 1
    return (seen / len(lists)).tolist()


def linear_probe(folder):
    """Cross-entropy, SGD with momentum 0.9 at a constant rate of 0.1, features as they are; the last batch is
    short."""
    torch.manual_seed(14)
    c = {"dim": 6, "classes": 4, "bs": 32, "epochs": 3, "lr": 0.1, "n": 150, "ntest": 60}
    centres = normal(c["classes"], c["dim"])
    (x, y), (x_test, y_test) = (
        ((centres[labels] + normal(n, c["dim"])).float().double(), labels)
        for n in (c["n"], c["ntest"]) for labels in [torch.randint(0, c["classes"], (n,))])
    head = nn.Linear(c["dim"], c["classes"]).double()
    tensors = {f"w0/{n}": p.detach().clone() for n, p in head.named_parameters()}
    order = torch.stack([torch.randperm(c["n"]) for _ in range(c["epochs"])])
    optimizer = torch.optim.SGD(head.parameters(), lr=c["lr"], momentum=0.9)
    for chosen in (batch for epoch in order for batch in epoch.split(c["bs"])):
        optimizer.zero_grad()
        F.cross_entropy(head(x[chosen]), y[chosen]).backward()
        optimizer.step()

    def percent(x, y):
        return np.array(100 * float((head(x).argmax(1) == y).double().mean()))

    tensors |= {f"w_final/{n}": p for n, p in head.named_parameters()}
    tensors |= {"train_x": x, "train_y": y, "test_x": x_test, "test_y": y_test, "test_logits": head(x_test), "order": order}
    tensors |= {"train_acc_percent": percent(x, y), "test_acc_percent": percent(x_test, y_test)}
    save(folder, "linear_probe", tensors, config=c)


def initial_values(folder):
    """Mean, deviation and largest magnitude of every parameter, of ViT-Tiny and its predictor."""
    spread = {}
    for name, rescaled in {"constructor": True, "init_model": False}.items():
        torch.manual_seed(15)
        modules = {"encoder": Encoder(PAPER, 32, 4, 192, 12, 3), "predictor": Predictor(PAPER, 8, 192, 96, 6, 3)}
        spread[name] = {}
        for root, module in modules.items():
            initialise(rescaled, module)
            for key, p in module.named_parameters():
                values = p.detach().double()
                row = [values.mean(), values.std(correction=0), values.abs().max()]
                spread[name][f"{root}.{key}"] = [list(p.shape), *map(float, row)]
    write_json(folder, "init_stats", {"init": spread})


def write(folder):
    seed, meta = folder / CIFAR, folder / PAPER
    for part in (seed, meta):
        part.mkdir(parents=True, exist_ok=True)
    case(CIFAR, CIFAR_CASE, seed)
    case(PAPER, PAPER_CASE, meta)
    cifar_ops(seed)
    paper_ops(meta)
    schedules(seed, cifar_settings(), ("lr", "momentum"), lambda s: cifar_schedules(**s))
    schedules(meta, paper_settings(), ("lr", "wd", "momentum"), lambda s: paper_schedules(**s))
    cifar_masks(seed)
    paper_masks(meta)
    linear_probe(seed)
    initial_values(meta)
    save(meta, "sincos", {f"dim{d}_grid{s}": sincos(s, d) for d, s in ((12, 4), (24, 5), (8, 3))})


def differences(fresh, stored):
    """Files and tensors of `fresh` that `stored` does not have with the same values."""
    for path in sorted(p for p in fresh.rglob("*") if p.is_file()):
        other = stored / path.relative_to(fresh)
        if not other.is_file():
            yield f"{other} is missing"
        elif path.suffix == ".json":
            if json.loads(path.read_text()) != json.loads(other.read_text()):
                yield f"{other} differs"
        else:
            ours, theirs = load_file(path), load_file(other)
            for name in sorted(ours.keys() | theirs.keys()):
                if name not in ours or name not in theirs or not np.allclose(ours[name], theirs[name], 1e-6, 1e-6):
                    yield f"{other}: {name} differs"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare with the files that are there, write nothing")
    options = parser.parse_args()
    if torch.__version__.split("+")[0] != TORCH:
        sys.exit(f"PyTorch {torch.__version__} is installed; the fixtures are made with {TORCH}")
    torch.set_num_threads(1)
    stored = Path(__file__).parent / "fixtures"
    if not options.check:
        return write(stored)
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder))
        found = list(differences(Path(folder), stored))
    print("\n".join(found) or "the same values")
    return sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
