"""One training step of transformers' RT-DETR with the R18vd backbone, from random weights: forward with matching and denoising,
backward, AdamW. Random pictures with ten boxes each. Live batch norms, as the official R18 recipe trains."""
import argparse
import contextlib

from common import answer
from torch_setup import DTYPES, torch
from transformers import RTDetrConfig, RTDetrForObjectDetection, RTDetrResNetConfig

CLASSES = 80
BOXES = 10

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--batch", type=int, required=True)
parser.add_argument("--size", type=int, required=True)
parser.add_argument("--dtype", choices=DTYPES, required=True)
parser.add_argument("--best", action="store_true", help="channels-last and fp32 products by oneDNN")
options = parser.parse_args()

backbone = RTDetrResNetConfig(
    embedding_size=64,
    hidden_sizes=[64, 128, 256, 512],
    depths=[2, 2, 2, 2],
    layer_type="basic",
    downsample_in_bottleneck=False,
    out_features=["stage2", "stage3", "stage4"],
)
config = RTDetrConfig(
    backbone_config=backbone,
    encoder_in_channels=[128, 256, 512],
    hidden_expansion=0.5,
    decoder_layers=3,
    num_labels=CLASSES,
    freeze_backbone_batch_norms=False,
    anchor_image_size=None,
)
model = RTDetrForObjectDetection(config).train()
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=1e-4)
pixels = torch.rand(options.batch, 3, options.size, options.size)
if options.best:
    torch.set_float32_matmul_precision("medium")
    model, pixels = model.to(memory_format=torch.channels_last), pixels.contiguous(memory_format=torch.channels_last)


def targets():
    sides = torch.rand(BOXES, 2) * 0.25 + 0.02
    centres = sides / 2 + torch.rand(BOXES, 2) * (1 - sides)
    return {"class_labels": torch.randint(CLASSES, (BOXES,)), "boxes": torch.cat([centres, sides], 1)}


labels = [targets() for _ in range(options.batch)]
half = options.dtype == "bf16"


def step():
    optimizer.zero_grad(set_to_none=True)
    with torch.autocast("cpu", torch.bfloat16) if half else contextlib.nullcontext():
        loss = model(pixel_values=pixels, labels=labels).loss
    loss.backward()
    optimizer.step()


answer(step)
