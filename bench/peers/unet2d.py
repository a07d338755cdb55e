"""One training step (AdamW, clipping) or a few steps of DDIM with diffusers' UNet2DModel, without attention, of 3.42 GMAC a
64 x 64 picture. --best: channels-last memory."""
import argparse

from common import answer
from torch_setup import DTYPES, torch

from diffusers import UNet2DModel  # after torch_setup

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--what", choices=["step", "ddim"], required=True)
parser.add_argument("--batch", type=int, required=True)
parser.add_argument("--steps", type=int, default=5, help="of DDIM")
parser.add_argument("--dtype", choices=DTYPES, required=True)
parser.add_argument("--best", action="store_true")
options = parser.parse_args()

CHANNELS = (56, 112, 112, 232)
model = UNet2DModel(
    sample_size=64,
    block_out_channels=CHANNELS,
    layers_per_block=1,
    norm_num_groups=8,
    add_attention=False,
    down_block_types=("DownBlock2D",) * len(CHANNELS),
    up_block_types=("UpBlock2D",) * len(CHANNELS),
    num_class_embeds=10,
)
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
images = torch.randn(options.batch, 3, 64, 64)
if options.best:
    model, images = model.to(memory_format=torch.channels_last), images.to(memory_format=torch.channels_last)
noise = torch.randn_like(images)
labels = torch.arange(options.batch) % 10
alphas = (1 - torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64)).cumprod(0).float()


def predict(x, t):
    with torch.autocast("cpu", torch.bfloat16, enabled=options.dtype == "bf16"):
        return model(x, t, class_labels=labels).sample.float()


def step():
    t = torch.randint(1000, (options.batch,))
    a = alphas[t].view(-1, 1, 1, 1)
    loss = (predict(a.sqrt() * images + (1 - a).sqrt() * noise, t) - noise).square().mean()
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()


@torch.no_grad()
def ddim():
    x = images
    levels = [round(1000 - i * 1000 / options.steps) - 1 for i in range(options.steps)]
    for t, to in zip(levels, levels[1:] + [-1]):
        a, a_to = alphas[t], alphas[to] if to >= 0 else torch.tensor(1.0)
        eps = predict(x, torch.full((options.batch,), t))
        x0 = ((x - (1 - a).sqrt() * eps) / a.sqrt()).clamp(-1, 1)
        x = a_to.sqrt() * x0 + (1 - a_to).sqrt() * eps


answer(step if options.what == "step" else ddim)
