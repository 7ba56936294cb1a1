"""The script that brings the model to its page: shapes, and the weights in base64.

    globalThis.liveModelData = {spec, matrices, vectors, weights}

`weights` holds, one behind the other: the codes of every matrix (int8), the scales of
their rows (float16, little-endian) and the vectors (float16). The order is that of the
names: `matrices` and `vectors` say those of one block, which stand in every block, and
then those outside.
"""

import base64
import json
from collections.abc import Iterator
from functools import cache

from torch import Tensor

from course_lib.course.live_model.kept import LIMIT, WINDOW, kept, unrounded_model
from course_lib.models.quantised_rows import quantise_rows
from course_lib.train.standard import STANDARD

BLOCK = "blocks.0."


def weight_bytes() -> bytes:
    """The model's weights as the page gets them."""
    weights = dict(unrounded_model().named_parameters())
    rows = [quantise_rows(weights[name].detach()) for name in _names(2)]
    vectors = [weights[name].detach().half() for name in _names(1)]
    parts = [
        *(row.codes for row in rows),
        *(row.scales for row in rows),
        *vectors,
    ]
    return b"".join(_little_endian(part) for part in parts)


def layout() -> dict:
    """What the page has to know of the model beside its weights."""
    (layer,) = set(STANDARD.layers)  # all alike
    mixer, shapes = layer.mixer, _shapes()
    parts = {
        dims: {
            place: {n: s for n, s in shapes[place].items() if len(s) == dims}
            for place in ("block", "outside")
        }
        for dims in (2, 1)
    }
    spec = {
        "vocabulary": STANDARD.vocab,
        "width": STANDARD.width,
        "blocks": len(STANDARD.layers),
        "heads": mixer.heads,
        "headWidth": mixer.head_dim,
        "theta": mixer.rope.theta,
        "eps": layer.norm.eps,
        "window": WINDOW,
        "limit": LIMIT,
        "updates": kept()["updates"],
    }
    return {"spec": spec, "matrices": parts[2], "vectors": parts[1]}


def script() -> str:
    """The text of the script."""
    data = layout() | {"weights": base64.b64encode(weight_bytes()).decode()}
    return f"globalThis.liveModelData={json.dumps(data, separators=(',', ':'))};\n"


@cache
def _shapes() -> dict[str, dict[str, list[int]]]:
    """The shapes of one block's weights by their names in it, and of those outside."""
    found: dict[str, dict[str, list[int]]] = {"block": {}, "outside": {}}
    for name, weight in unrounded_model().named_parameters():
        if name.startswith(BLOCK):
            found["block"][_short(name.removeprefix(BLOCK))] = list(weight.shape)
        elif not name.startswith("blocks."):
            found["outside"][_short(name)] = list(weight.shape)
    return found


def _short(name: str) -> str:
    return name.removesuffix(".weight")


def _names(dims: int) -> Iterator[str]:
    """The full names of matrices (2) or vectors (1): block by block, then outside."""
    parts = layout()["matrices" if dims == 2 else "vectors"]
    for block in range(len(STANDARD.layers)):
        yield from (f"blocks.{block}.{name}.weight" for name in parts["block"])
    yield from (f"{name}.weight" for name in parts["outside"])


def _little_endian(part: Tensor) -> bytes:
    numbers = part.contiguous().numpy()
    return numbers.astype(numbers.dtype.newbyteorder("<")).tobytes()
