"""What the peers' programs share: thread count, random seed, and the loop that answers each line with a call's seconds."""
import os
import sys
import time

import torch

torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "2")))
torch.manual_seed(0)

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


def answer(call):
    """Runs call() once for every line of standard input and prints how long it took."""
    call()
    for _ in sys.stdin:
        start = time.perf_counter()
        call()
        print(time.perf_counter() - start, flush=True)
