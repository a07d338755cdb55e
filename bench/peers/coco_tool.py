"""COCO evaluation of two files by pycocotools or faster-coco-eval: read, evaluate, accumulate, summarize."""
import argparse
import contextlib
import io

from common import answer

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--tool", choices=["pycocotools", "faster_coco_eval"], required=True)
parser.add_argument("annotations")
parser.add_argument("detections")
options = parser.parse_args()

if options.tool == "pycocotools":
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval as Evaluation
else:
    from faster_coco_eval import COCO
    from faster_coco_eval import COCOeval_faster as Evaluation


def evaluate():
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(options.annotations)
        evaluation = Evaluation(truth, truth.loadRes(options.detections), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()


answer(evaluate)
