"""One block split over two devices: which part of each matrix stands where, and the two
all-reduces that add up partial results.
"""

from course_lib.kit.diagrams.figure import Figure, Panel
from course_lib.kit.diagrams.marks import arrow, line, sign
from course_lib.kit.diagrams.pen import Pen
from course_lib.kit.diagrams.tensors import maths
from course_lib.specs.loader import load_spec
from course_lib.specs.records import ModelSpec

MODEL, DEVICES = "llama-3.1-70b", 2
LEFTS, WIDE = (8, 176), 156


def draw() -> Figure:
    """Two columns, one a device; a circled plus between them is an all-reduce."""
    spec = load_spec(MODEL)
    mixer, ffn = spec.layers[0].mixer, spec.layers[0].ffn
    pen = Pen()
    for i, x in enumerate(LEFTS):
        pen.text(x + WIDE / 2, 16, f"device {i + 1}", "T", "middle")
    y = _vector(pen, 26, "x, whole")
    y = _halves(pen, y, "W_Q, W_K, W_V", f"{mixer.heads // DEVICES} heads", "attn")
    y = _halves(pen, y, "W_O", f"rows of {mixer.heads // DEVICES} heads", "attn")
    y = _all_reduce(pen, y)
    wide = f"{ffn.width // DEVICES:,} columns"
    y = _halves(pen, y, "W_{gate}, W_{up}", wide, "ffn")
    y = _halves(pen, y, "W_{down}", f"{ffn.width // DEVICES:,} rows", "ffn")
    end = _all_reduce(pen, y) + 13
    for x in LEFTS:
        pen.rect(x - 4, 0.5, WIDE + 8, end - 1, "g", 8, under=True)
    return Figure(Panel("Tensor parallelism", _description(spec), pen, end))


def _description(spec: ModelSpec) -> str:
    return (
        f"One block of {spec.name} over two devices. Each holds half of the heads and "
        "half of the network's inner width, and both need the whole input. After W_O "
        "and after W_down each device has a partial sum of the whole output, and an "
        "all-reduce adds the two."
    )


def _vector(pen: Pen, y: float, words: str) -> float:
    """The same vectors on both devices."""
    for x in LEFTS:
        pen.text(x + WIDE / 2 + 8, y + 12, words, "c m")
        arrow(pen, (x + WIDE / 2, y), (x + WIDE / 2, y + 20))
    return y + 22


def _halves(pen: Pen, y: float, name: str, part: str, role: str) -> float:
    """A matrix as two halves, each on its device, and a line on to the next."""
    for i, x in enumerate(LEFTS):
        pen.rect(x, y, WIDE, 36, f"b {role}")
        maths(pen, x + 40, y + 15, name, "B")
        pen.text(x + 40, y + 30, part, "s")
        pen.rect(x + 10, y + 8, 10 * DEVICES, 20, "e", 0)
        pen.rect(x + 10 + 10 * i, y + 8, 10, 20, f"p {role}", 0)
        line(pen, (x + WIDE / 2, y + 36), (x + WIDE / 2, y + 46))
    return y + 46


def _all_reduce(pen: Pen, y: float) -> float:
    """Partial sums meet between the devices; both go on with the sum."""
    middle = (LEFTS[0] + LEFTS[1] + WIDE) / 2
    pen.rect(8, y + 2, 324, 26, "b kept", 13)
    for x in LEFTS:
        arrow(pen, (x + WIDE / 2, y - 10), (x + WIDE / 2, y + 2))
    sign(pen, middle, y + 15)
    pen.text(20, y + 19, "all-reduce", "T")
    pen.text(320, y + 19, "partial sums", "s", "end")
    return _vector(pen, y + 28, "x, whole")
