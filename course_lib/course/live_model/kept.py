"""Which model lives on the page: the kept weights of the standard run, rounded to int8
with a scale a row.

The page's script and everything that Python says about it start here, so that both
compute with the same numbers.
"""

from collections.abc import Mapping
from dataclasses import replace
from functools import cache

import torch

from course_lib.kit.runs import RESULTS, RecordedRun, load_run
from course_lib.models.build import build_model
from course_lib.models.lm import CausalLM
from course_lib.models.quantised_rows import with_quantised_rows
from course_lib.specs.records import ModelSpec
from course_lib.train.kept import with_weights
from course_lib.train.standard import LENGTH, STANDARD

EXPERIMENT = "depth_against_width"  # its base is the standard run
WINDOW = LENGTH  # bytes a query attends to: the rows that the model was trained on
LIMIT = 3 * WINDOW  # bytes of a text on the page


@cache
def run_record() -> RecordedRun:
    """The record of the run."""
    return load_run(EXPERIMENT)


def kept() -> Mapping:
    """The record's entry of the kept weights: files, seed, updates, held-out loss."""
    (entry,) = (
        e for e in run_record().facts["kept"] if e["variant"] == run_record().base
    )
    return entry


def windowed(window: int | None = WINDOW) -> ModelSpec:
    """The standard run's spec with a sliding window in every layer; None for none."""
    layers = tuple(
        replace(layer, mixer=replace(layer.mixer, window=window))
        for layer in STANDARD.layers
    )
    return replace(STANDARD, layers=layers)


def unrounded_model(window: int | None = None) -> CausalLM:
    """The model with its kept weights, in float32, ready for scoring."""
    return with_weights(build_model(windowed(window)), RESULTS / kept()["weights"])


def live_model(window: int | None = None) -> CausalLM:
    """The model of the page: the kept weights, rounded.

    >>> sum(p.numel() for p in live_model().parameters())
    217664
    """
    return with_quantised_rows(unrounded_model(window))


def next_bytes(text: str, count: int) -> list[tuple[int, float]]:
    """The likeliest bytes after a text and their probabilities, by the page's model."""
    tokens = torch.tensor([list(text.encode())])
    with torch.no_grad():
        shares = live_model(WINDOW)(tokens, last_only=True)[0, -1].softmax(-1)
    found = shares.topk(count)
    return list(zip(found.indices.tolist(), found.values.tolist(), strict=True))
