"""scipy.optimize.linear_sum_assignment on costs of queries and boxes: 5 times the L1 distance plus twice a uniform number."""
import argparse

import numpy
from common import answer
from scipy.optimize import linear_sum_assignment

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--queries", type=int, required=True)
parser.add_argument("--boxes", type=int, required=True)
parser.add_argument("--matrices", type=int, required=True)
parser.add_argument("--passes", type=int, required=True)
options = parser.parse_args()

random = numpy.random.default_rng(3)


def cost():
    a, b = random.random((options.queries, 1, 4)), random.random((1, options.boxes, 4))
    return 5 * numpy.abs(a - b).sum(-1) + 2 * random.random((options.queries, options.boxes))


costs = [cost() for _ in range(options.matrices)]


def solve():
    for _ in range(options.passes):
        for one in costs:
            linear_sum_assignment(one)


answer(solve)
