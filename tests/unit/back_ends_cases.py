"""Run by test_back_ends.py in a process of its own, for Triton settles at its import how kernels run, and
FlexAttention traces masks, which must not be wrapped by checks of shapes.

Prints a JSON object: back end -> dtype -> request -> [gap, gradient gap, problem, gradient problem].
"""

import json

import torch

from course_lib.kernels.back_ends import (
    BACK_ENDS,
    Request,
    causal,
    causal_documents,
    causal_window,
    distance_bias,
    prefix_then_causal,
)
from course_lib.kernels.probe import probe

DOCUMENTS = torch.tensor([[0] * 10 + [1] * 11, [0] * 5 + [1] * 6 + [2] * 10])
SLOPES, SINKS = torch.tensor([0.5, 0.25, 0.125, 0.0625]), torch.tensor([0.1, -0.2, 0.5, 1.0])
REQUESTS = {
    "everything": Request(),
    "causal": Request(mask=causal),
    "window": Request(mask=causal_window(5)),
    "documents": Request(mask=causal_documents(DOCUMENTS)),
    "prefix": Request(mask=prefix_then_causal(7)),
    "bias": Request(mask=causal, bias=distance_bias(SLOPES)),
    "bias alone": Request(bias=distance_bias(SLOPES)),
    "sinks": Request(mask=causal, sinks=SINKS),
    "sinks on everything": Request(sinks=SINKS),
}
SHAPE = 2, 21, 4, 2, 16


def main() -> None:
    found: dict = {name: {"float64": {}, "float32": {}} for name in BACK_ENDS}
    for name, rows in found.items():
        for dtype, row in rows.items():
            for words, request in REQUESTS.items():
                made = probe(name, request, SHAPE, dtype=getattr(torch, dtype))
                row[words] = [made.gap, made.gradient_gap, made.problem, made.gradient_problem]
    print(json.dumps(found))


if __name__ == "__main__":
    main()
