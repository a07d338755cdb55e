"""Forward and backward of one mixture layer of SwiGLU experts, router included: the Mixtral block of transformers with one
of its expert implementations. Inputs in turn, so that loads change from call to call."""
import argparse

from common import answer
from torch_setup import DTYPES, torch
from transformers import MixtralConfig
from transformers.models.mixtral.modeling_mixtral import MixtralSparseMoeBlock

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--implementation", choices=["eager", "grouped_mm"], required=True)
parser.add_argument("--tokens", type=int, required=True)
parser.add_argument("--dim", type=int, default=256)
parser.add_argument("--hidden", type=int, default=1024)
parser.add_argument("--experts", type=int, default=8)
parser.add_argument("--top-k", type=int, default=2)
parser.add_argument("--dtype", choices=DTYPES, required=True)
options = parser.parse_args()

config = MixtralConfig(
    hidden_size=options.dim,
    intermediate_size=options.hidden,
    num_local_experts=options.experts,
    num_experts_per_tok=options.top_k,
)
config._experts_implementation = options.implementation
block = MixtralSparseMoeBlock(config)
for parameter in block.parameters():
    torch.nn.init.normal_(parameter, std=0.02)
block.to(DTYPES[options.dtype])
inputs = [torch.randn(1, options.tokens, options.dim).to(DTYPES[options.dtype]) for _ in range(8)]
gradient = torch.randn(1, options.tokens, options.dim).to(DTYPES[options.dtype])
turn = 0


def step():
    global turn
    block.zero_grad(set_to_none=True)
    x = inputs[turn % len(inputs)].detach().requires_grad_()
    turn += 1
    y = block(x)
    (y[0] if isinstance(y, tuple) else y).reshape(gradient.shape).backward(gradient)


answer(step)
