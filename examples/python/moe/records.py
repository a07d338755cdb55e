"""What the library reports, as named tuples with the names and units of moe.h."""
from typing import Dict, NamedTuple

from .abi import EventKind


class StepInfo(NamedTuple):
    """What a step did."""
    step: int            # optimizer steps so far, this one included
    micro_batches: int   # in the window
    samples: int         # in the window
    loss: float          # sum of the weighted terms, as if the window were one batch
    grad_norm: float     # global L2 norm before clipping
    lr: float            # of the first parameter group
    seconds: float       # wall time of the step
    skipped: bool        # fp16 gradients overflowed: weights unchanged
    losses: Dict[str, float]  # weighted terms; they add up to `loss`


class DataReport(NamedTuple):
    """What a check of a data set found."""
    pictures: int  # looked at, of both splits
    objects: int   # in them, ignored regions included
    problems: int  # 0: a training can use all of it
    excluded: int  # pictures in the list


class LayerInfo(NamedTuple):
    """Facts about one mixture layer."""
    name: str
    kind: str     # "class_partitioned", "ffn"
    unit: str     # of what it routes: "image", "query" ...
    experts: int
    top_k: int    # experts per token, at most
    classes: int  # rows of the class table; 0: the layer keeps none


class ExpertStat(NamedTuple):
    """One expert in one window."""
    tokens: int             # assignments by the router
    computed: int           # tokens really computed
    dropped: int            # assignments over capacity
    share: float            # of the layer's assignments; 1/E at balance
    activation_rate: float  # tokens / tokens seen by the layer; k/E at balance
    gate_mean: float        # mean gate weight when chosen
    importance: float       # mean router probability over all tokens


class LayerStat(NamedTuple):
    """One layer in one window; moe.h says how each number is defined."""
    dead_experts: int
    tokens: int
    assignments: int
    token_entropy: float
    marginal_entropy: float
    load_cv: float
    max_violation: float
    dropped: int
    unrouted: int
    mutual_information: float
    gini: float
    dominant_share: float
    confidence: float
    margin: float
    class_nmi: float


class Event(NamedTuple):
    """What happened in a run."""
    kind: EventKind
    epoch: int                # from 1
    epochs: int               # planned
    step: int                 # optimizer steps so far
    steps: int                # planned in all
    loss: float               # of the last step
    metric: float             # EVAL: the first number; DONE: the best one; else NaN
    images_per_second: float
    load_seconds: float       # waiting for data, mean per step
    step_seconds: float       # computing, mean per step
    seconds_left: float       # estimate for the whole run
    text: str                 # one line for a person


def record(kind, struct, /, **computed):
    """A named tuple of the fields of that name in a struct; computed: those that differ from the struct's."""
    values = {name: getattr(struct, name) for name in kind._fields if name not in computed}
    return kind(**computed, **{name: v.decode("utf-8", "replace") if isinstance(v, bytes) else v
                               for name, v in values.items()})
