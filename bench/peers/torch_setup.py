"""torch with this benchmark's thread count and seed. Every model is built from a config; nothing is downloaded."""
import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch  # noqa: E402  after the environment

torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "2")))
torch.manual_seed(0)

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
