"""experiments/baseline.yaml in eager PyTorch and in this program, timed in turns on this machine.

Each of our steps (a child process, `cargo bench --bench step`) is followed by the same step here:
same sizes, same masks, same number of threads. Prints one line per measurement:

    ratio step_b256_t2 1.07        (median PyTorch time / median our time; above 1 we are faster)

For memory the ratio is PyTorch bytes / our bytes; for `threads_b256` it is our time with one thread /
our time with two, for `bf16_*` our time with `train.matmul: f32` / our time with `bf16`; `share data` is the percentage of our step that goes into images.

The model is written from the description of the CIFAR-10 reference (ViT 192x6x6 patch 4, predictor
96x4x6, four target blocks predicted one pass each, AdamW, EMA), with PyTorch's fused attention,
which is faster than the attention module the reference uses.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

IMAGE, PATCH, GRID = 32, 4, 8
MEAN = torch.tensor([0.4914, 0.4822, 0.4465]).view(1, 3, 1, 1)
STD = torch.tensor([0.2470, 0.2435, 0.2616]).view(1, 3, 1, 1)


class Block(nn.Module):
    def __init__(self, dim, heads):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.qkv, self.proj = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.fc1, self.fc2 = nn.Linear(dim, 4 * dim), nn.Linear(4 * dim, dim)

    def forward(self, x):
        b, n, d = x.shape
        qkv = self.qkv(self.norm1(x)).view(b, n, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(*qkv.unbind(0))
        x = x + self.proj(y.transpose(1, 2).reshape(b, n, d))
        return x + self.fc2(F.gelu(self.fc1(self.norm2(x))))


class Encoder(nn.Module):
    def __init__(self, dim=192, depth=6, heads=6):
        super().__init__()
        self.embed = nn.Conv2d(3, dim, PATCH, PATCH)
        self.positions = nn.Parameter(0.02 * torch.randn(1, GRID * GRID, dim))
        self.blocks = nn.ModuleList(Block(dim, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(dim)

    def forward(self, images, visible=None):
        x = self.embed(images).flatten(2).transpose(1, 2) + self.positions
        if visible is not None:
            x = x.index_select(1, visible)
        for block in self.blocks:
            x = block(x)
        return self.norm(x)


class Predictor(nn.Module):
    def __init__(self, encoder_dim=192, dim=96, depth=4, heads=6):
        super().__init__()
        self.embed, self.project = nn.Linear(encoder_dim, dim), nn.Linear(dim, encoder_dim)
        self.mask = nn.Parameter(0.02 * torch.randn(1, 1, dim))
        self.positions = nn.Parameter(0.02 * torch.randn(1, GRID * GRID, dim))
        self.blocks = nn.ModuleList(Block(dim, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(dim)

    def forward(self, context, visible, target):
        x = self.embed(context) + self.positions.index_select(1, visible)
        masks = (self.mask + self.positions.index_select(1, target)).expand(len(x), -1, -1)
        x = torch.cat([x, masks], 1)
        for block in self.blocks:
            x = block(x)
        return self.project(self.norm(x[:, -len(target):]))


class Trainer:
    """One training run on random images; `compiled` by `torch.compile`, with masks of any length."""

    def __init__(self, batch, compiled=False):
        torch.manual_seed(0)
        self.batch = batch
        self.objective = torch.compile(self.loss, dynamic=True) if compiled else self.loss
        self.data = torch.randint(0, 256, (4096, 3, IMAGE, IMAGE), dtype=torch.uint8)
        self.student, self.teacher, self.predictor = Encoder(), Encoder(), Predictor()
        self.teacher.load_state_dict(self.student.state_dict())
        self.teacher.requires_grad_(False)
        trained = [*self.student.parameters(), *self.predictor.parameters()]
        self.optimizer = torch.optim.AdamW(trained, lr=1e-3, weight_decay=0.05)

    def images(self):
        x = self.data[torch.randint(0, len(self.data), (self.batch,))].float().div_(255)
        flip = torch.rand(self.batch) < 0.5
        x[flip] = x[flip].flip(-1)
        return x.sub_(MEAN).div_(STD)

    def loss(self, images, visible, *blocks):
        with torch.no_grad():
            teacher = self.teacher(images)
        encoded = self.student(images, visible)
        total = sum(((self.predictor(encoded, visible, b) - teacher.index_select(1, b)) ** 2).sum() for b in blocks)
        return total / (self.batch * sum(len(b) for b in blocks))

    def step(self, context, targets):
        loss = self.objective(self.images(), torch.tensor(context), *[torch.tensor(t) for t in targets])
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        with torch.no_grad():
            teacher, student = list(self.teacher.parameters()), list(self.student.parameters())
            torch._foreach_lerp_(teacher, student, 1 - 0.996)
        return loss.item()


class EncoderPass:
    """Forward and backward of an encoder on whole images."""

    def __init__(self, batch, **sizes):
        torch.manual_seed(0)
        self.encoder, self.images = Encoder(**sizes), torch.randn(batch, 3, IMAGE, IMAGE)

    def step(self, _):
        self.encoder.zero_grad()
        self.encoder(self.images).sum().backward()


class FeaturePass(EncoderPass):
    """Mean-pooled features of whole images."""

    def step(self, _):
        with torch.no_grad():
            self.encoder(self.images).mean(1).numpy()


class TrainingStep:
    def __init__(self, batch, compiled=False):
        self.trainer = Trainer(batch, compiled)

    def step(self, ours):
        self.trainer.step(ours["context"], ours["targets"])


def bench_command(name, *arguments, features=()):
    """One of benches/*.rs: built by cargo, or in the folder named by IJEPA_BENCHES."""
    ready = os.environ.get("IJEPA_BENCHES")
    cargo = ["cargo", "bench", "-q", *features, "--bench", name, "--"]
    return [*([f"{ready}/{name}"] if ready else cargo), *map(str, arguments)]


class Ours:
    """Our steps, one at a time, in a child process."""

    def __init__(self, batch, threads, part="step", settings=()):
        arguments = ["--part", part, "--batch", batch, "--threads", threads, *settings]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.child = subprocess.Popen(bench_command("step", *arguments), **pipes)

    def step(self):
        print("step", file=self.child.stdin, flush=True)
        return json.loads(self.child.stdout.readline())

    def close(self):
        self.child.stdin.close()
        self.child.wait()


def say(line):
    print(line, file=sys.stderr, flush=True)


def ratio(name, value):
    print(f"ratio {name} {value:.2f}", flush=True)


def in_turns(name, options, threads, ours, theirs):
    """Our step, PyTorch's step, again and again; the ratio of the medians."""
    torch.set_num_threads(threads)
    times = []
    for i in range(options.warmup + options.repeats):
        a = ours.step()
        start = time.perf_counter()
        theirs.step(a)
        b = 1e3 * (time.perf_counter() - start)
        # PyTorch's threads keep spinning for a while; they must not slow our next step down.
        time.sleep(options.pause)
        if i >= options.warmup:
            times.append((a["milliseconds"], b))
    ours.close()
    a, b = (statistics.median(t) for t in zip(*times))
    say(f"{name}: ours {a:.1f} ms, PyTorch {b:.1f} ms (medians of {options.repeats})")
    ratio(name, b / a)


def step(batch, threads, compiled=False):
    def run(name, options):
        in_turns(name, options, threads, Ours(batch, threads), TrainingStep(batch, compiled))

    return run


def encoder(name, options):
    in_turns(name, options, 2, Ours(64, 2, "encoder"), EncoderPass(64))


def small(name, options):
    ours = Ours(32, 2, "encoder", ["encoder.dim=384", "encoder.depth=12", "encoder.heads=6"])
    in_turns(name, options, 2, ours, EncoderPass(32, dim=384, depth=12, heads=6))


def features(name, options):
    in_turns(name, options, 2, Ours(256, 2, "features"), FeaturePass(256))


def memory(name, options):
    """Peak resident memory of a process that does nothing but steps."""
    steps = options.warmup + options.repeats
    ours = Ours(256, 2)
    seen = [ours.step() for _ in range(steps)]
    ours.close()
    masks = json.dumps([{k: s[k] for k in ("context", "targets")} for s in seen])
    alone = [sys.executable, __file__, "--alone"]
    theirs = json.loads(subprocess.run(alone, input=masks, capture_output=True, text=True, check=True).stdout)
    a = seen[-1]["peak_mib"]
    say(
        f"{name}: ours {a:.0f} MiB, PyTorch {theirs['peak_mib']:.0f} MiB, of which"
        f" {theirs['imported_mib']:.0f} before the first step"
    )
    ratio(name, theirs["peak_mib"] / a)


def peak_mib():
    """Peak resident memory of this program. `ru_maxrss` is that of the process: on Linux it outlives `exec`, so
    that a child would report what its parent had when it started."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return ru_maxrss_mib()
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM:")).split()[1]) / 2**10


def ru_maxrss_mib():
    # KiB on Linux, bytes on macOS.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def alone():
    """The child of `memory`: PyTorch's steps with the masks on stdin."""
    torch.set_num_threads(2)
    masks, imported, trainer = json.load(sys.stdin), peak_mib(), Trainer(256)
    for m in masks:
        trainer.step(m["context"], m["targets"])
    print(json.dumps({"peak_mib": peak_mib(), "imported_mib": imported}))


def ours_in_turns(name, options, slow, fast):
    """Two ways to run our step, each with its label; the ratio of the medians."""
    times = []
    for i in range(options.warmup + options.repeats):
        pair = [child.step()["milliseconds"] for _, child in (slow, fast)]
        if i >= options.warmup:
            times.append(pair)
    for _, child in (slow, fast):
        child.close()
    a, b = (statistics.median(t) for t in zip(*times))
    say(f"{name}: {slow[0]} {a:.1f} ms, {fast[0]} {b:.1f} ms (medians of {options.repeats})")
    ratio(name, a / b)


def threads(name, options):
    ours_in_turns(name, options, ("one thread", Ours(256, 1)), ("two threads", Ours(256, 2)))


def bf16(batch, threads):
    def run(name, options):
        rounded = Ours(batch, threads, settings=["train.matmul=bf16"])
        ours_in_turns(name, options, ("f32", Ours(batch, threads)), ("bf16", rounded))

    return run


def data_share(_, options):
    """Steps without a pause: waiting for batches, and the core time of making them beside the step."""
    ours, shares = Ours(256, 2), []
    for i in range(options.warmup + options.repeats):
        s = ours.step()
        if i >= options.warmup:
            shares.append(100 * (s["waiting"] + s["making"] / 2) / s["milliseconds"])
    ours.close()
    print(f"share data {statistics.median(shares):.2f}", flush=True)


def our_probe(probe, folder):
    """Seconds and metrics of a probe, and the features it saw."""
    environment = {**os.environ, "RAYON_NUM_THREADS": "2", "PROBES_DUMP": str(folder)}
    command = bench_command("probes", probe)
    line = subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout
    seconds, values = float(line.split()[0]), line.rsplit(": ", 1)[1]
    metrics = {name: float(value) for name, value in (pair.split() for pair in values.split(","))}

    def split(part):
        labels = np.fromfile(folder / f"{part}.u32", "<u4").astype(np.int64)
        return np.fromfile(folder / f"{part}.f32", "<f4").reshape(len(labels), -1), labels

    return seconds, metrics, split("train"), split("test")


def probes_in_turns(name, options, probe, theirs):
    """Our probe, then each of theirs, again and again; the ratios of the medians."""
    with tempfile.TemporaryDirectory() as folder:
        times = []
        for _ in range(options.probe_repeats):
            a, ours, train, test = our_probe(probe, Path(folder))
            row = [("ours", a, ours)]
            for label, fit in theirs:
                start = time.perf_counter()
                metrics = fit(train, test)
                row.append((label, metrics.get("seconds", time.perf_counter() - start), metrics))
                time.sleep(options.pause)
            times.append(row)
    medians = [statistics.median(row[i][1] for row in times) for i in range(len(theirs) + 1)]
    for median, (label, _, metrics) in zip(medians, times[-1]):
        nll = f", {metrics['test_nll']:.4f} nats" if "test_nll" in metrics else ""
        say(f"{name}: {label} {median:.2f} s at {metrics['top1']:.2f} %{nll}")
        if label != "ours":
            ratio(name if label == "PyTorch" else f"{name}_{label}", median / medians[0])


def standardised(train, test):
    mean, std = train[0].mean(0), train[0].std(0) + 1e-6
    return (train[0] - mean) / std, (test[0] - mean) / std


def percent(predicted, labels):
    return 100 * float((np.asarray(predicted) == labels).mean())


DECAYS = [1e-2, 1e-3, 1e-4, 1e-5, 1e-6]
GAP = 1e-7
OPTIMA = {}


class Lbfgs:
    """PyTorch's L-BFGS on the regularised likelihood of some rows, in float32 or float64."""

    def __init__(self, x, y, decay, start=None):
        self.x, self.y, self.decay = x, y, decay
        zeros = torch.zeros(10, x.shape[1] + 1, dtype=x.dtype)
        weights = zeros if start is None else start.to(x.dtype)
        self.weight = weights[:, :-1].clone().requires_grad_(True)
        self.bias = weights[:, -1].clone().requires_grad_(True)
        options = {"max_iter": 10, "history_size": 20, "tolerance_grad": 0, "tolerance_change": 0}
        self.solver = torch.optim.LBFGS([self.weight, self.bias], line_search_fn="strong_wolfe", **options)

    def objective(self, x):
        loss = F.cross_entropy(x @ self.weight.to(x.dtype).T + self.bias.to(x.dtype), self.y)
        return loss + 0.5 * self.decay * (self.weight.to(x.dtype) ** 2).sum()

    def closure(self):
        self.solver.zero_grad()
        loss = self.objective(self.x)
        loss.backward()
        return loss

    def head(self):
        return torch.cat([self.weight, self.bias[:, None]], 1).detach()


def optimum(x64, y, decay):
    """The minimum to about 1e-11 nats, and a head there."""
    key = (len(y), decay)
    if key not in OPTIMA:
        fit, last = Lbfgs(x64, y, decay, OPTIMA.get((len(y), 10 * decay), (0, None))[1]), float("inf")
        for _ in range(500):
            fit.solver.step(fit.closure)
            with torch.no_grad():
                value = fit.objective(x64).item()
            if last - value < 1e-12:
                break
            last = value
        OPTIMA[key] = (value, fit.head())
    return OPTIMA[key][0]


def torch_linear(train, test):
    """What our linear probe does, with PyTorch's strongest solver: for every weight decay L-BFGS from the
    optimum of the next larger one, without a held-out tenth, then the best again on all of train. Each runs until
    it is within GAP nats of the minimum, which is known beforehand; neither that nor looking is counted. In
    float32, and in float64 from where float32 comes no closer."""
    torch.set_num_threads(2)
    x, x_test = (torch.from_numpy(v) for v in standardised(train, test))
    y, labels = torch.from_numpy(train[1]), torch.from_numpy(test[1])
    cut, seconds, steps = len(y) * 9 // 10, 0.0, 0

    def fit(rows, decay, start):
        nonlocal seconds, steps
        x64, least = x[:rows].double(), optimum(x[:rows].double(), y[:rows], decay)
        for values in (x[:rows], x64):
            fit, best, stalled = Lbfgs(values, y[:rows], decay, start), float("inf"), 0
            while stalled < 3:
                begin = time.perf_counter()
                fit.solver.step(fit.closure)
                seconds += time.perf_counter() - begin
                steps += 10
                with torch.no_grad():
                    gap = fit.objective(x64).item() - least
                if gap <= GAP:
                    return fit.head()
                stalled = stalled + 1 if gap > 0.98 * best else 0
                best = min(best, gap)
            say(f"  decay {decay:g}: {values.dtype} stays {best:.1e} nats away")
            start = fit.head()
        raise SystemExit(f"L-BFGS does not reach {GAP} nats at decay {decay}")

    def logits(head, x):
        return x @ head[:, :-1].T.to(x.dtype) + head[:, -1].to(x.dtype)

    def top1(head, x, y):
        return percent(logits(head, x).argmax(1).numpy(), y.numpy())

    heads, head = [], None
    for decay in DECAYS:
        head = fit(cut, decay, head)
        heads.append(head)
    pick = int(np.argmax([top1(head, x[cut:], y[cut:]) for head in heads]))
    head = fit(len(y), DECAYS[pick], heads[pick])
    say(f"  PyTorch: {steps} iterations, decay {DECAYS[pick]:g}")
    nll = F.cross_entropy(logits(head, x_test), labels).item()
    return {"top1": top1(head, x_test, labels), "test_nll": nll, "seconds": seconds}


def torch_knn(train, test):
    torch.set_num_threads(2)
    bank, queries = (F.normalize(torch.from_numpy(v[0])) for v in (train, test))
    classes = torch.from_numpy(train[1])
    predicted = []
    for chunk in queries.split(1000):
        similar, index = (chunk @ bank.T).topk(20)
        votes = torch.zeros(len(chunk), 10)
        votes.scatter_add_(1, classes[index], ((similar - similar[:, :1]) / 0.07).exp())
        predicted.append(votes.argmax(1))
    return {"top1": percent(torch.cat(predicted), test[1])}


def sklearn_linear(train, test):
    """A single fit: no weight decay is searched."""
    from sklearn.linear_model import LogisticRegression

    x, x_test = standardised(train, test)
    return {"top1": percent(LogisticRegression(max_iter=200).fit(x, train[1]).predict(x_test), test[1])}


def sklearn_knn(train, test):
    from sklearn.neighbors import KNeighborsClassifier

    def votes(distance):
        return np.exp(-distance / 0.07)

    found = KNeighborsClassifier(20, weights=votes, metric="cosine", algorithm="brute", n_jobs=2)
    return {"top1": percent(found.fit(*train).predict(test[0]), test[1])}


def probe(kind, theirs, with_sklearn):
    def run(name, options):
        try:
            import sklearn  # noqa: F401

            others = [("PyTorch", theirs), ("sklearn", with_sklearn)]
        except ImportError:
            others = [("PyTorch", theirs)]
        probes_in_turns(name, options, kind, others)

    return run


MEASUREMENTS = {
    "step_b256_t2": step(256, 2),
    "step_b64_t2": step(64, 2),
    "step_b64_t1": step(64, 1),
    "step_b256_t2_compiled": step(256, 2, compiled=True),
    "step_b64_t1_compiled": step(64, 1, compiled=True),
    "encoder_b64_t2": encoder,
    "small_b32_t2": small,
    "features_b256_t2": features,
    "memory_b256": memory,
    "threads_b256": threads,
    "bf16_b256_t2": bf16(256, 2),
    "bf16_b64_t1": bf16(64, 1),
    "data_share": data_share,
    "probe_linear": probe("linear", torch_linear, sklearn_linear),
    "probe_tuned": probe('linear={"protocol": "tuned"}', torch_linear, sklearn_linear),
    "probe_knn": probe("knn", torch_knn, sklearn_knn),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", action="append", metavar="NAME", choices=MEASUREMENTS, help="may be repeated")
    parser.add_argument("--repeats", type=int, default=10, help="timed steps of each")
    parser.add_argument("--warmup", type=int, default=3, help="steps before")
    parser.add_argument("--probe-repeats", type=int, default=3, help="fits of each probe")
    parser.add_argument("--pause", type=float, default=0.3, help="seconds after each of PyTorch's steps")
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.alone:
        return alone()
    say(f"PyTorch {torch.__version__}")
    for name in options.only or MEASUREMENTS:
        MEASUREMENTS[name](name, options)


if __name__ == "__main__":
    main()
