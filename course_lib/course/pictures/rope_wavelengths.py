"""Rotary wavelengths of a head, plain and under three kinds of scaling, beside the
length that was trained on.
"""

import math

from course_lib.kit.diagrams.figure import Figure, Panel
from course_lib.kit.diagrams.marks import line
from course_lib.kit.diagrams.pen import Pen

DIM, BASE = 64, 10_000.0
TRAINED, FACTOR = 2048, 8
FAST, SLOW = 32, 1  # turns within the trained length, at the ends of YaRN's ramp
KINDS = {"plain": "norm", "PI": "ffn", "NTK": "state", "YaRN": "attn"}
LEFT, TOP, WIDE, TALL = 54, 44, 226, 170
LOW, HIGH = 0.6, 5.8  # powers of ten on the axis


def wavelength(pair: int, kind: str = "plain") -> float:
    """Tokens until a pair of coordinates has turned once."""
    exponent = 2 * pair / DIM
    plain = 2 * math.pi * BASE**exponent
    if kind == "plain":
        return plain
    if kind == "PI":
        return FACTOR * plain
    if kind == "NTK":
        return 2 * math.pi * (BASE * FACTOR ** (DIM / (DIM - 2))) ** exponent
    low, high = (turning(turns) for turns in (FAST, SLOW))
    low, high = max(math.floor(low), 0), math.ceil(high)
    ramp = min(max((pair - low) / (high - low), 0), 1)
    return plain / (1 - ramp + ramp / FACTOR)


def turning(turns: float) -> float:
    """The number of the pair, as a real, that turns so often in the trained length."""
    return DIM * math.log(TRAINED / (2 * math.pi * turns)) / (2 * math.log(BASE))


def never_round() -> int:
    """Pairs that do not turn once in the trained length."""
    return sum(wavelength(pair) > TRAINED for pair in range(DIM // 2))


def draw() -> Figure:
    """Four lines over the 32 pairs, on a logarithmic axis."""
    pen = Pen()
    pen.text(4, 14, "Tokens for one turn", "T")
    pen.text(4, 29, f"base {BASE:,.0f}, {DIM} coordinates, stretched × {FACTOR}", "m")
    for power in range(1, 6):
        y = _height(10.0**power)
        pen.text(LEFT - 6, y + 3, f"{10**power:,}", "s m", "end")
        line(pen, (LEFT, y), (LEFT + WIDE, y), cls="e")
    for tokens, words in ((TRAINED, "trained"), (TRAINED * FACTOR, "wanted")):
        y = _height(tokens)
        line(pen, (LEFT, y), (LEFT + WIDE, y), cls="u diff d")
        pen.text(LEFT + 4, y - 4, f"{words}: {tokens:,}", "s B")
    for kind, role in KINDS.items():
        points = [(_across(i), _height(wavelength(i, kind))) for i in range(DIM // 2)]
        line(pen, *points, cls=f"u {role}")
    for kind, lift in (("PI", -12), ("NTK", -1), ("YaRN", 10), ("plain", 4)):
        y = _height(wavelength(DIM // 2 - 1, kind)) + lift
        pen.rect(LEFT + WIDE + 4, y - 6, 8, 8, f"p {KINDS[kind]}", 2)
        pen.text(LEFT + WIDE + 16, y + 2, kind, "s B")
    base = TOP + TALL
    for pair in (0, 10, 20, 31):
        pen.text(_across(pair), base + 14, str(pair), "s m", "middle")
    pen.text(LEFT + WIDE / 2, base + 28, "pair of coordinates", "s m", "middle")
    said = (
        f"Plain wavelengths grow from 6 tokens to {wavelength(31):,.0f}; "
        f"{never_round()} of {DIM // 2} pairs do not come round in {TRAINED:,} tokens. "
        "Interpolation lifts all lines by the factor, NTK more and more, YaRN only the "
        "slow pairs."
    )
    return Figure(Panel("Wavelengths under scaling", said, pen, base + 34))


def _across(pair: int) -> float:
    return LEFT + pair / (DIM // 2 - 1) * WIDE


def _height(tokens: float) -> float:
    return TOP + TALL - (math.log10(tokens) - LOW) / (HIGH - LOW) * TALL
