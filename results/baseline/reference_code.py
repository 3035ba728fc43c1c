"""The reference's own code on images of the binary version of CIFAR-10, with its schedules over some epochs.

    python3 reference_code.py REPOSITORY IMAGES EPOCHS SEED > reference-code-50-epochs.csv

REPOSITORY is a clone of sombersomni/ijepa-homemade at fea7df9: its model, masks, schedules and loss are called. What
stands here is what it does around them, on the device: images, flips, the loop, the moving average as one call, the
features and the classifier of its linear probe (SGD at 0.1, 100 epochs). Needs PyTorch and torchvision.
"""

import random
import sys
from pathlib import Path

import numpy as np
import torch

BATCH, WARM_UP = 256, 10
MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
PROBED = (5, 10, 25)


class Images:
    def __init__(self, folder, names, device):
        raw = np.concatenate([np.fromfile(Path(folder) / name, np.uint8).reshape(-1, 3073) for name in names])
        self.pixels = torch.from_numpy(raw[:, 1:].reshape(-1, 3, 32, 32).copy()).to(device)
        self.labels = torch.from_numpy(raw[:, 0].astype(np.int64)).to(device)
        self.mean, self.std = (torch.tensor(v, device=device).view(1, 3, 1, 1) for v in (MEAN, STD))

    def some(self, index, flipped):
        x = (self.pixels[index].float() / 255 - self.mean) / self.std
        if flipped:
            x = torch.where(torch.rand(len(x), 1, 1, 1, device=x.device) < 0.5, x.flip(-1), x)
        return x


@torch.no_grad()
def features(encoder, images, flipped):
    encoder.eval()
    parts = torch.arange(len(images.labels), device=images.labels.device).split(1000)
    return torch.cat([encoder(images.some(part, flipped)).mean(1) for part in parts])


def linear(train, labels, test, test_labels):
    """Top-1 of the reference's classifier, in %."""
    classifier = torch.nn.Linear(train.shape[1], 10).to(train.device)
    optimizer = torch.optim.SGD(classifier.parameters(), lr=0.1, momentum=0.9)
    for _ in range(100):
        for part in torch.randperm(len(train), device=train.device).split(256):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(classifier(train[part]), labels[part]).backward()
            optimizer.step()
    with torch.no_grad():
        return 100 * (classifier(test).argmax(1) == test_labels).float().mean().item()


def neighbours(train, labels, test, test_labels):
    """Top-1 of 20 nearest neighbours by the cosine of centred features, weighted by exp(cosine / 0.07), in %."""
    a, b = (torch.nn.functional.normalize(x - train.mean(0), dim=1) for x in (train, test))
    cosine, index = (b @ a.T).topk(20, 1)
    votes = torch.zeros(len(b), 10, device=b.device).scatter_add_(1, labels[index], (cosine / 0.07).exp())
    return 100 * (votes.argmax(1) == test_labels).float().mean().item()


def main(repository, folder, epochs, seed):
    sys.path.insert(0, repository)
    from ijepa.data.masking import MultiBlockMaskGenerator
    from ijepa.models import IJEPA
    from ijepa.training.scheduler import cosine_scheduler, get_momentum_schedule
    from ijepa.training.train import ijepa_loss

    torch.backends.cuda.matmul.allow_tf32 = True
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(seed)
    random.seed(seed)
    train = Images(folder, [f"data_batch_{i}.bin" for i in range(1, 6)], device)
    test = Images(folder, ["test_batch.bin"], device)
    model = IJEPA(encoder_embed_dim=192, encoder_depth=6, encoder_num_heads=6).to(device)
    trained = [*model.context_encoder.parameters(), *model.predictor.parameters()]
    optimizer = torch.optim.AdamW(trained, lr=1e-3, weight_decay=0.05)
    steps = len(train.labels) // BATCH
    rates = cosine_scheduler(1e-3, 1e-5, epochs, steps, warmup_epochs=WARM_UP, warmup_start_value=0.0)
    momenta = get_momentum_schedule(0.996, 1.0, epochs, steps)
    masks = MultiBlockMaskGenerator((8, 8), 4, target_scale=(0.15, 0.25), context_scale=(0.75, 0.95))
    teacher, student = list(model.target_encoder.parameters()), list(model.context_encoder.parameters())

    print("epoch,loss,linear_target,linear_context,knn_target,knn_context", flush=True)
    for epoch in range(epochs):
        model.train()
        total = torch.zeros((), device=device)
        order = torch.randperm(len(train.labels), device=device)
        for i in range(steps):
            step = epoch * steps + i
            optimizer.param_groups[0]["lr"] = rates[step]
            context, targets = masks()
            while not context:  # where the repository would crash
                context, targets = masks()
            images = train.some(order[i * BATCH : (i + 1) * BATCH], flipped=True)
            loss = ijepa_loss(*model(images, context, targets))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            with torch.no_grad():
                torch._foreach_mul_(teacher, momenta[step])
                torch._foreach_add_(teacher, student, alpha=1 - momenta[step])
            total += loss.detach()
        probes = [""] * 4
        if epoch + 1 in (*PROBED, epochs):
            of = [(features(e, train, True), features(e, test, False)) for e in (model.target_encoder, model.context_encoder)]
            probes = [f"{f(a, train.labels, b, test.labels):.2f}" for f in (linear, neighbours) for a, b in of]
        print(f"{epoch + 1},{total.item() / steps:.6f},{','.join(probes)}", flush=True)


if __name__ == "__main__":
    if len(sys.argv) != 5:
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
