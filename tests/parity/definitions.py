"""I-JEPA in plain PyTorch, written from its definitions: models, losses, schedules and masks of both recipes.

`CIFAR` is the recipe of experiments/baseline.yaml: learned positions, one mask for the whole batch, squared
error of targets as they are, weight decay on everything. `PAPER` is that of Assran et al. (2023),
arXiv 2301.08243, with the conventions of its released code: fixed sine-cosine positions, a mask per image,
smooth L1 on normalised targets, decay on matrices only.

Shapes: B images, N patches, D features. Patches are numbered row by row.
"""

import math
from collections import Counter, OrderedDict

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

CIFAR, PAPER = "seed", "meta"
EPS = {CIFAR: 1e-5, PAPER: 1e-6}


class Attention(nn.Module):
    """softmax(Q K' / sqrt(d)) V for each head; the rows of `qkv` are queries, keys, values, head by head."""

    def __init__(self, dim, heads):
        super().__init__()
        self.heads = heads
        self.qkv, self.proj = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)

    def forward(self, x):
        b, n, d = x.shape
        q, k, v = self.qkv(x).view(b, n, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        weights = (q @ k.transpose(-1, -2) / math.sqrt(d // self.heads)).softmax(-1)
        return self.proj((weights @ v).transpose(1, 2).reshape(b, n, d))


class PyTorchAttention(nn.MultiheadAttention):
    """PyTorch's own module, for self-attention."""

    def __init__(self, dim, heads):
        super().__init__(dim, heads, batch_first=True)

    def forward(self, x):
        return super().forward(x, x, x, need_weights=False)[0]


class Block(nn.Module):
    """Transformer block with the norms before attention and MLP; exact GELU."""

    def __init__(self, recipe, dim, heads):
        super().__init__()
        self.norm1, self.norm2 = (nn.LayerNorm(dim, EPS[recipe]) for _ in range(2))
        self.attn = (PyTorchAttention if recipe == CIFAR else Attention)(dim, heads)
        fc1, fc2 = nn.Linear(dim, 4 * dim), nn.Linear(4 * dim, dim)
        self.mlp = nn.Sequential(OrderedDict(fc1=fc1, gelu=nn.GELU(), fc2=fc2))

    def forward(self, x):
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


def sincos(side, dim):
    """(side², dim): the first half of the features tells the column, the second the row; each half is the
    sines, then the cosines, of position / 10000^(i / (dim / 4))."""
    frequency = 10000.0 ** -(np.arange(dim // 4) / (dim / 4))

    def encode(position):
        angle = np.outer(position, frequency)
        return np.concatenate([np.sin(angle), np.cos(angle)], 1)

    patch = np.arange(side * side)
    return np.concatenate([encode(patch % side), encode(patch // side)], 1)


def positions(recipe, side, dim):
    """(1, N, dim), learned or fixed."""
    if recipe == CIFAR:
        return nn.Parameter(0.02 * torch.randn(1, side * side, dim))
    return nn.Parameter(torch.from_numpy(sincos(side, dim)).float()[None], requires_grad=False)


class Encoder(nn.Module):
    def __init__(self, recipe, image, patch, dim, depth, heads):
        super().__init__()
        self.patch_embed = nn.Sequential(OrderedDict(proj=nn.Conv2d(3, dim, patch, patch)))
        self.pos_embed = positions(recipe, image // patch, dim)
        self.blocks = nn.ModuleList(Block(recipe, dim, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(dim, EPS[recipe])

    def embedded(self, images):
        return self.patch_embed(images).flatten(2).transpose(1, 2)

    def forward(self, images, visible=None):
        """(B, n, D) of the patches `visible` (B, n), or of all."""
        x = self.embedded(images) + self.pos_embed
        x = x if visible is None else rows(x, visible)
        for block in self.blocks:
            x = block(x)
        return self.norm(x)


class Predictor(nn.Module):
    def __init__(self, recipe, side, encoder_dim, dim, depth, heads):
        super().__init__()
        self.predictor_embed, self.predictor_proj = nn.Linear(encoder_dim, dim), nn.Linear(dim, encoder_dim)
        self.mask_token = nn.Parameter(0.02 * torch.randn(1, 1, dim))
        self.predictor_pos_embed = positions(recipe, side, dim)
        self.predictor_blocks = nn.ModuleList(Block(recipe, dim, heads) for _ in range(depth))
        self.predictor_norm = nn.LayerNorm(dim, EPS[recipe])

    def forward(self, context, visible, hidden):
        """(B, m, D): what stands at the patches `hidden` (B, m), seen from `context` at `visible` (B, n)."""
        where = self.predictor_pos_embed.expand(len(context), -1, -1)
        seen = self.predictor_embed(context) + rows(where, visible)
        x = torch.cat([seen, self.mask_token + rows(where, hidden)], 1)
        for block in self.predictor_blocks:
            x = block(x)
        return self.predictor_proj(self.predictor_norm(x[:, visible.shape[1] :]))


def rows(x, patches):
    """Of (B, N, D) the patches (B, n): (B, n, D)."""
    return x.gather(1, patches[..., None].expand(-1, -1, x.shape[-1]))


def loss(recipe, predictions, targets):
    """`CIFAR`: squared error summed over features, averaged over all patches of all blocks. `PAPER`: smooth L1
    averaged over everything."""
    if recipe == PAPER:
        return F.smooth_l1_loss(torch.cat(predictions), torch.cat(targets))
    total = sum(((p - t) ** 2).sum() for p, t in zip(predictions, targets))
    return total / sum(p.shape[0] * p.shape[1] for p in predictions)


def is_decayed(recipe, name, parameter):
    return recipe == CIFAR or (parameter.ndim > 1 and "bias" not in name)


def initialise(rescaled, module):
    """Truncated normal of deviation 0.02, biases 0; if `rescaled`, the two output projections of block l
    are divided by sqrt(2 l)."""
    for name, parameter in module.named_parameters():
        if parameter.requires_grad and (parameter.ndim > 1):
            nn.init.trunc_normal_(parameter, std=0.02)
        elif name.endswith("bias"):
            nn.init.zeros_(parameter)
    blocks = getattr(module, "blocks", None) or module.predictor_blocks
    for l, block in enumerate(blocks, 1):
        for weight in (block.attn.proj.weight, block.mlp.fc2.weight) if rescaled else ():
            weight.data.div_(math.sqrt(2 * l))


def cifar_schedules(spe, epochs, warmup, base, final, m0, m1):
    """Learning rate and EMA momentum of every step. Warm-up includes both ends; the cosine starts at the top
    again and stops one step short of the end."""
    total, rising = spe * epochs, spe * warmup
    falling = np.arange(total - rising) / max(1, total - rising)
    cosine = final + 0.5 * (base - final) * (1 + np.cos(np.pi * falling))
    return np.concatenate([np.linspace(0, base, rising), cosine]), np.linspace(m0, m1, total)


def paper_schedules(ipe, epochs, warmup, start_lr, lr, final_lr, wd, final_wd, ema, ipe_scale):
    """Learning rate, weight decay and EMA momentum of every step. Rate and decay are advanced before a step,
    so that step i (from 0) has the value of i + 1; `ipe_scale` stretches all three beyond the run."""
    length, rising = int(ipe_scale * epochs * ipe), int(warmup * ipe)
    step = np.arange(1, ipe * epochs + 1)

    def cosine(start, end, progress):
        return end + (start - end) * 0.5 * (1 + np.cos(np.pi * progress))

    up = start_lr + step / max(1, rising) * (lr - start_lr)
    down = np.maximum(final_lr, cosine(lr, final_lr, (step - rising) / max(1, length - rising)))
    decay = cosine(wd, final_wd, step / length)
    decay = np.minimum(final_wd, decay) if final_wd > wd else np.maximum(final_wd, decay)
    momentum = ema[0] + (step - 1) * (ema[1] - ema[0]) / (ipe * epochs * ipe_scale)
    return np.where(step < rising, up, down), decay, momentum


class Masks:
    """Blocks on a grid, as lists of patches, drawn from `random` (a `numpy` generator)."""

    def __init__(self, rows, cols, random):
        self.rows, self.cols, self.random = rows, cols, random

    def between(self, bounds, uniform):
        return bounds[0] + uniform * (bounds[1] - bounds[0])

    def size_of_cifar(self, scale, aspect):
        """Area and aspect ratio (width / height) apart; the width follows the rounded height."""
        area = int(self.rows * self.cols * self.between(scale, self.random.random()))
        ratio = self.between(aspect, self.random.random())
        height = round(math.sqrt(area / ratio))
        width = round(height * ratio)
        return min(max(height, 1), self.rows), min(max(width, 1), self.cols)

    def size_of_paper(self, scale, aspect):
        """One uniform number for both area and aspect ratio (height / width); a side is at most one less than
        the grid's."""
        uniform = self.random.random()
        area = int(self.rows * self.cols * self.between(scale, uniform))
        ratio = self.between(aspect, uniform)
        height, width = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        return min(height, self.rows - 1), min(width, self.cols - 1)

    def place(self, size, missing):
        """The block at a random place, never on the last `missing` rows and columns."""
        (height, width), room = size, (self.rows - missing, self.cols - missing)
        top, left = (int(self.random.integers(r - s + 1)) for r, s in zip(room, size))
        return [(top + i) * self.cols + left + j for i in range(height) for j in range(width)]

    def cifar(self, s):
        """(context, targets) that a whole batch shares."""
        while True:
            aspect, count = s["aspect"], s["num_targets"]
            targets = [self.place(self.size_of_cifar(s["target_scale"], aspect), 0) for _ in range(count)]
            block = self.place(self.size_of_cifar(s["context_scale"], (1, 1)), 0)
            context = sorted(set(block).difference(*targets))
            if context:
                return context, targets

    def paper_batch(self, s, images):
        """For each image (contexts, targets): one size per batch, cut to the shortest in row-major order."""
        target_size = self.size_of_paper(s["pred_scale"], s["aspect"])
        context_size = self.size_of_paper(s["enc_scale"], (1, 1))
        masks = [self.paper(s, target_size, context_size) for _ in range(images)]
        shortest = min(len(c) for contexts, _ in masks for c in contexts)
        return [([c[:shortest] for c in contexts], targets) for contexts, targets in masks]

    def paper(self, s, target_size, context_size):
        """A context keeps more than `min_keep` patches."""
        while True:
            targets = [self.place(target_size, 1) for _ in range(s["npred"])]
            taken = () if s["allow_overlap"] else targets
            blocks = [self.place(context_size, 1) for _ in range(s["nenc"])]
            contexts = [sorted(set(block).difference(*taken)) for block in blocks]
            if min(map(len, contexts)) > s["min_keep"]:
                return contexts, targets


def shares(values):
    """How often each value occurs, of all."""
    counts = Counter(map(str, values))
    return {key: n / counts.total() for key, n in sorted(counts.items())}
