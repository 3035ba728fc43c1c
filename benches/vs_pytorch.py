"""The training step of experiments/baseline.yaml in eager PyTorch, timed against ours.

Each of our steps (a child process, `cargo bench --bench step`) is followed by the same step here:
same sizes, same masks, same number of threads. Prints one line per measurement:

    ratio step_b256_t2 1.07        (median PyTorch time / median our time; above 1 we are faster)

The model is written from the description of the CIFAR-10 reference (ViT 192x6x6 patch 4, predictor
96x4x6, four target blocks predicted one pass each, AdamW, EMA), with PyTorch's fused attention,
which is faster than the attention module the reference uses.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time

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
        y = F.scaled_dot_product_attention(qkv[0], qkv[1], qkv[2])
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
            x = x[:, visible]
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
        x = self.embed(context) + self.positions[:, visible]
        masks = (self.mask + self.positions[:, target]).expand(len(x), -1, -1)
        x = torch.cat([x, masks], 1)
        for block in self.blocks:
            x = block(x)
        return self.project(self.norm(x[:, -len(target):]))


class Trainer:
    """One training run on random images."""

    def __init__(self, batch):
        torch.manual_seed(0)
        self.batch = batch
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

    def step(self, context, targets):
        images = self.images()
        visible = torch.tensor(context)
        blocks = [torch.tensor(t) for t in targets]
        with torch.no_grad():
            teacher = self.teacher(images)
        encoded = self.student(images, visible)
        total = sum(((self.predictor(encoded, visible, b) - teacher[:, b]) ** 2).sum() for b in blocks)
        loss = total / (self.batch * sum(len(b) for b in blocks))
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        with torch.no_grad():
            teacher, student = list(self.teacher.parameters()), list(self.student.parameters())
            torch._foreach_lerp_(teacher, student, 1 - 0.996)
        return loss.item()


class Ours:
    """Our steps, one at a time, in a child process."""

    def __init__(self, batch, threads):
        command = ["cargo", "bench", "-q", "--bench", "step", "--"]
        command += ["--batch", str(batch), "--threads", str(threads)]
        self.child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def step(self):
        print("step", file=self.child.stdin, flush=True)
        return json.loads(self.child.stdout.readline())

    def close(self):
        self.child.stdin.close()
        self.child.wait()


def measure(batch, threads, repeats, warmup):
    torch.set_num_threads(threads)
    ours, theirs = Ours(batch, threads), Trainer(batch)
    times = []
    for i in range(warmup + repeats):
        a = ours.step()
        start = time.perf_counter()
        theirs.step(a["context"], a["targets"])
        b = 1e3 * (time.perf_counter() - start)
        # PyTorch's threads keep spinning for a while; they must not slow our next step down.
        time.sleep(0.3)
        if i >= warmup:
            times.append((a["milliseconds"], b))
    ours.close()
    a, b = (statistics.median(t) for t in zip(*times))
    name = f"step_b{batch}_t{threads}"
    print(f"{name}: ours {a:.0f} ms, PyTorch {b:.0f} ms (medians of {repeats})", file=sys.stderr)
    print(f"ratio {name} {b / a:.2f}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--warmup", type=int, default=3)
    parser.add_argument("--case", action="append", metavar="BATCH:THREADS", help="default 256:2, 64:2, 64:1")
    arguments = parser.parse_args()
    print(f"PyTorch {torch.__version__}", file=sys.stderr)
    for case in arguments.case or ["256:2", "64:2", "64:1"]:
        batch, threads = map(int, case.split(":"))
        measure(batch, threads, arguments.repeats, arguments.warmup)


main()
