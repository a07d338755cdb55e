"""One training step (AdamW, clipping) of the published network (Passwerob/MoEFSDiC, configs/default.yaml: 53.75 M parameters,
3.42 GMAC a 64 x 64 picture), written down again from its description with what it takes to run: skip connections leave the
encoder after each halving. --form loop: experts one picture at a time, as published; dense: every expert sees every picture
and the gates of those not chosen are 0. --best: channels-last memory."""
import argparse
import math

import torch.nn.functional as F
from common import answer
from torch import nn
from torch_setup import DTYPES, torch

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--form", choices=["loop", "dense"], required=True)
parser.add_argument("--batch", type=int, required=True)
parser.add_argument("--dtype", choices=DTYPES, required=True)
parser.add_argument("--best", action="store_true")
options = parser.parse_args()

WIDTH, EXPERTS, TOP_K = 512, 8, 2


def separable(inputs, outputs):
    return nn.Sequential(
        nn.Conv2d(inputs, inputs, 3, padding=1, groups=inputs, bias=False), nn.Conv2d(inputs, outputs, 1, bias=False)
    )


class Expert(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.first, self.second = separable(channels, channels), separable(channels, channels)
        self.norm1, self.norm2 = nn.BatchNorm2d(channels), nn.BatchNorm2d(channels)

    def forward(self, x):
        return F.gelu(self.norm2(self.second(F.gelu(self.norm1(self.first(x))))) + x)


class Block(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.project = separable(inputs, outputs)
        self.experts = nn.ModuleList(Expert(outputs) for _ in range(EXPERTS))
        features = outputs + 2 * WIDTH
        self.router = nn.Sequential(nn.Linear(features, features // 2), nn.GELU(), nn.Linear(features // 2, EXPERTS))

    def forward(self, x, condition):
        x = self.project(x)
        logits = self.router(torch.cat([x.mean((2, 3)), condition], 1)).float()
        values, chosen = logits.topk(TOP_K)
        gates = values.softmax(1).to(x.dtype)
        if options.form == "dense":
            weights = torch.zeros_like(logits, dtype=x.dtype).scatter(1, chosen, gates)
            return sum(weights[:, e].view(-1, 1, 1, 1) * expert(x) for e, expert in enumerate(self.experts))
        rows = []
        for b in range(x.size(0)):
            parts = [gates[b, j] * self.experts[chosen[b, j].item()](x[b : b + 1]) for j in range(TOP_K)]
            rows.append(sum(parts))
        return torch.cat(rows)


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.time = nn.Sequential(nn.Linear(WIDTH, 4 * WIDTH), nn.GELU(), nn.Linear(4 * WIDTH, WIDTH))
        self.label = nn.Embedding(10, WIDTH)
        self.stem = nn.Conv2d(3, 128, 3, padding=1)
        down = [(128, 128), (128, 256), (256, 512)]
        self.down = nn.ModuleList(Block(*pair) for pair in down)
        self.halve = nn.ModuleList(nn.Conv2d(o, o, 3, 2, 1) for _, o in down)
        self.bottleneck = nn.Conv2d(512, 1024, 3, 2, 1)
        self.gate = nn.Sequential(nn.Linear(1024 + WIDTH, 1024), nn.GELU(), nn.Linear(1024, 1024))
        up = [(1024, 512, 512), (512, 256, 256), (256, 128, 128), (128, 128, 128)]
        self.double = nn.ModuleList(nn.ConvTranspose2d(i, i, 4, 2, 1) for i, _, _ in up)
        self.up = nn.ModuleList(Block(i + skip, o) for i, skip, o in up)
        self.head = nn.Sequential(nn.GroupNorm(8, 128), nn.GELU(), nn.Conv2d(128, 3, 3, padding=1))

    def forward(self, x, t, labels):
        half = WIDTH // 2
        angles = t[:, None] * torch.exp(-math.log(10000) * torch.arange(half) / half)
        time = self.time(torch.cat([angles.cos(), angles.sin()], 1))
        condition = torch.cat([time, self.label(labels)], 1)
        x = self.stem(x)
        skips = [x]
        for block, halve in zip(self.down, self.halve):
            x = halve(block(x, condition))
            skips.append(x)
        x = self.bottleneck(x)
        x = x * (1 + self.gate(torch.cat([x.mean((2, 3)), time], 1)).sigmoid()[:, :, None, None])
        for double, block, skip in zip(self.double, self.up, reversed(skips)):
            x = block(torch.cat([double(x), skip], 1), condition)
        return self.head(x)


model = Network()
assert sum(p.numel() for p in model.parameters()) == 53_752_571
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
images = torch.randn(options.batch, 3, 64, 64)
if options.best:
    model, images = model.to(memory_format=torch.channels_last), images.to(memory_format=torch.channels_last)
noise = torch.randn_like(images)
labels = torch.arange(options.batch) % 10
alphas = (1 - torch.linspace(1e-4, 0.02, 1000)).cumprod(0)


def step():
    t = torch.randint(1000, (options.batch,))
    a = alphas[t].view(-1, 1, 1, 1)
    with torch.autocast("cpu", torch.bfloat16, enabled=options.dtype == "bf16"):
        output = model(a.sqrt() * images + (1 - a).sqrt() * noise, t, labels).float()
    loss = (output - noise).square().mean()
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()


answer(step)
