"""The training step of experiments/baseline.yaml on one device, beside PyTorch's on the same device.

For every batch size and every rounding of matrix products, in turns: `ijepa-run bench` (a process of its
own), eager PyTorch, and, where products are rounded, PyTorch with `torch.compile`. All carry out steps with
the same masks once before the clock starts, then the same steps in a row, wait for the device at the end
alone, and count the time by the number of steps. Prints one line per comparison, and one with the times:

    ratio step_b256_tf32_eager 1.07     (median PyTorch time / median our time; above 1 we are faster)
    milliseconds step_b256_tf32 ours 3.21 eager 3.43 compiled 2.98

`--lengths fixed` takes one mask for all steps (names end in `_fixed`): PyTorch then compiles for exactly these
lengths, which is what is fastest there, and is timed with CUDA graphs as well (`graphs`, mode `reduce-overhead`).

PyTorch is given what is fast there: data and masks on the device before the clock starts, the fused AdamW,
one call for the moving average, fused attention, no number that is read from the device. Where PyTorch cannot
compile the step, that is told and the other comparisons are made. `f32` multiplies in
f32 everywhere, `tf32` is `set_float32_matmul_precision("high")`, `bf16` is autocast.
"""

import argparse
import json
import re
import statistics
import subprocess
import time
from contextlib import nullcontext

import torch
import torch._inductor.config as inductor
from vs_pytorch import MEAN, STD, Encoder, Predictor, Trainer, bench_command, ratio, say

ROUNDINGS = ["f32", "tf32", "bf16"]
# Steps of `ijepa-run bench` before its clock counts.
WARM_UP = 2
# Past this many compilations of one function PyTorch would silently go on without compiling.
torch._dynamo.config.recompile_limit = 64
# The data of `ijepa-run bench`, whose order the masks follow.
DATA = "dataset={ kind: shapes, train: 2048, test: 256 }"
# One mask of about the lengths that are drawn on average: four blocks of 3 x 4 patches, 23 patches of context.
BLOCKS = [(0, 0), (1, 2), (4, 1), (4, 3)]
CONTEXT = 23


def fixed_mask():
    """The section `masking` with one mask for all images."""
    targets = [[8 * (top + i) + left + j for i in range(3) for j in range(4)] for top, left in BLOCKS]
    context = [p for p in range(64) if not any(p in block for block in targets)][:CONTEXT]
    return f"masking={{ kind: replay, masks: [{{ context: {context}, targets: {targets} }}] }}"


class DeviceTrainer(Trainer):
    """[Trainer] with everything on a device."""

    def __init__(self, device, batch, rounding, way, lengths, depths):
        torch.manual_seed(0)
        torch.set_float32_matmul_precision("high" if rounding == "tf32" else "highest")
        torch.backends.cudnn.allow_tf32 = rounding != "f32"
        # PyTorch 2.11 fails in this analysis (an AssertionError in `get_pw_red_splits`) where lengths are dynamic.
        if lengths == "drawn" and hasattr(inductor.triton, "coalesce_tiling_analysis"):
            inductor.triton.coalesce_tiling_analysis = False
        self.device, self.batch, self.rounding = torch.device(device), batch, rounding
        mode = "reduce-overhead" if way == "graphs" else "default"
        self.objective = self.loss
        if way != "eager":
            self.objective = torch.compile(self.loss, dynamic=lengths == "drawn", mode=mode)
        with self.device:
            self.data = torch.randint(0, 256, (4096, 3, 32, 32), dtype=torch.uint8)
            self.mean, self.std = MEAN.to(self.device), STD.to(self.device)
            self.student, self.teacher = Encoder(depth=depths[0]), Encoder(depth=depths[0])
            self.predictor = Predictor(depth=depths[1])
        self.teacher.load_state_dict(self.student.state_dict())
        self.teacher.requires_grad_(False)
        trained = [*self.student.parameters(), *self.predictor.parameters()]
        self.optimizer = torch.optim.AdamW(trained, lr=1e-3, weight_decay=0.05, fused=True)
        self.pairs = list(self.teacher.parameters()), list(self.student.parameters())

    def images(self):
        picked = torch.randint(0, len(self.data), (self.batch,), device=self.device)
        x = self.data[picked].float().div_(255)
        flip = torch.rand(self.batch, 1, 1, 1, device=self.device) < 0.5
        return torch.where(flip, x.flip(-1), x).sub_(self.mean).div_(self.std)

    def rounded(self):
        bf16 = self.rounding == "bf16"
        return torch.autocast(self.device.type, dtype=torch.bfloat16) if bf16 else nullcontext()

    def step(self, context, targets):
        with self.rounded():
            loss = self.objective(self.images(), context, *targets)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        with torch.no_grad():
            torch._foreach_lerp_(*self.pairs, 1 - 0.996)

    def wait(self):
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def milliseconds(self, masks):
        """Mean over steps in a row."""
        self.wait()
        start = time.perf_counter()
        for context, targets in masks:
            self.step(context, targets)
        self.wait()
        return 1e3 * (time.perf_counter() - start) / len(masks)


def masks_of(settings, batch, steps, device):
    """Those of the steps that `ijepa-run bench` times."""
    # Built with the program: without its features cargo would build both again.
    command = bench_command("step", "--part", "masks", "--batch", batch, *settings, features=["--features=cuda"])
    lines = "\n" * (WARM_UP + steps)
    drawn = subprocess.run(command, input=lines, capture_output=True, text=True, check=True).stdout

    def tensors(line):
        step = json.loads(line)
        context, *targets = (torch.tensor(m, device=device) for m in (step["context"], *step["targets"]))
        return context, targets

    return [tensors(line) for line in drawn.splitlines()[WARM_UP:]]


def ours(settings, batch, rounding, options):
    """Milliseconds of our step."""
    run = ["target/release/ijepa-run", "bench", *settings, f"device={options.device}", "--steps", str(options.steps)]
    run += [f"train.batch_size={batch}", f"train.matmul={rounding}"]
    table = subprocess.run(run, capture_output=True, text=True, check=True).stdout
    return float(re.search(r"training step +([\d.]+) +ms", table)[1])


def compare(batch, rounding, options):
    # One block each is enough to try this script out.
    depths = (1, 1) if options.small else (6, 4)
    settings = [DATA, f"encoder.depth={depths[0]}", f"predictor.depth={depths[1]}"]
    settings += [fixed_mask()] if options.lengths == "fixed" else []
    masks, name = masks_of(settings, batch, options.steps, options.device), f"step_b{batch}_{rounding}"
    name += "_fixed" if options.lengths == "fixed" else ""
    ways = ["eager"] if rounding == "f32" else ["eager", "compiled"]
    # Graphs are of a GPU, and of one length.
    ways += ["graphs"] if len(ways) > 1 and options.lengths == "fixed" and options.device != "cpu" else []
    theirs = {way: DeviceTrainer(options.device, batch, rounding, way, options.lengths, depths) for way in ways}
    for label, trainer in list(theirs.items()):
        # Every length of masks once: whatever is compiled is compiled now.
        try:
            trainer.milliseconds(masks)
        except (torch._dynamo.exc.TorchDynamoException, RuntimeError) as cause:
            say(f"{label} PyTorch fails: {cause}")
            del theirs[label]
    times = {label: [] for label in ("ours", *theirs)}
    for _ in range(options.repeats):
        times["ours"].append(ours(settings, batch, rounding, options))
        for label, trainer in theirs.items():
            times[label].append(trainer.milliseconds(masks))
    medians = {label: statistics.median(all_times) for label, all_times in times.items()}
    print("milliseconds", name, *(f"{label} {value:.3f}" for label, value in medians.items()), flush=True)
    for label in theirs:
        ratio(f"{name}_{label}", medians[label] / medians["ours"])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda", help="cuda, cuda:1, or cpu")
    parser.add_argument("--batch", type=int, action="append", help="256 and 1024 if left out; may be repeated")
    parser.add_argument("--matmul", action="append", choices=ROUNDINGS, help="all if left out; may be repeated")
    parser.add_argument("--steps", type=int, default=50, help="steps in a row")
    parser.add_argument("--repeats", type=int, default=5, help="times of each, in turns")
    parser.add_argument("--lengths", default="drawn", choices=["drawn", "fixed"], help="of masks, from step to step")
    parser.add_argument("--small", action="store_true", help="a model of one block each: to try this out")
    options = parser.parse_args()
    where = torch.cuda.get_device_name(options.device) if options.device.startswith("cuda") else "the processor"
    say(f"PyTorch {torch.__version__} on {where}")
    for batch in options.batch or [256, 1024]:
        for rounding in options.matmul or ROUNDINGS:
            compare(batch, rounding, options)


if __name__ == "__main__":
    main()
