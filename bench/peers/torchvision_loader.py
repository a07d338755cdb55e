"""One epoch of torchvision's pipeline in a DataLoader: decode a JPEG as RGB, resize with antialias, to float 0..1, batches."""
import argparse
from pathlib import Path

from common import answer
from torch_setup import torch
from torchvision.io import ImageReadMode, decode_image
from torchvision.transforms.v2 import functional

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--list", required=True, help="file with a picture's path a line")
parser.add_argument("--size", type=int, nargs=2, required=True)
parser.add_argument("--batch", type=int, required=True)
parser.add_argument("--workers", type=int, required=True)
options = parser.parse_args()


class Pictures(torch.utils.data.Dataset):
    def __init__(self, files):
        self.files = files

    def __len__(self):
        return len(self.files)

    def __getitem__(self, index):
        picture = decode_image(self.files[index], ImageReadMode.RGB)
        resized = functional.resize(picture, options.size, antialias=True)
        return functional.to_dtype(resized, torch.float32, scale=True)


loader = torch.utils.data.DataLoader(
    Pictures(Path(options.list).read_text(encoding="utf-8").split("\n")),
    batch_size=options.batch,
    num_workers=options.workers,
    worker_init_fn=lambda _: torch.set_num_threads(1),
    persistent_workers=options.workers > 0,
)


def epoch():
    for _ in loader:
        pass


answer(epoch)
