"""Four routers on the same eight logits: what is scored, what is picked, and with which
weights the outputs are summed.

`routed` is a router in plain Python, for one token; a test holds it to
`layers.feed_forward.router`.
"""

import math

from course_lib.kit.diagrams.figure import Figure, Panel
from course_lib.kit.diagrams.marks import line
from course_lib.kit.diagrams.pen import HALF, Pen

LOGITS = (1.3, 0.2, -0.7, 0.9, 1.1, -0.2, 0.6, -1.2)
BIAS = (-0.18, 0.0, 0.0, -0.04, 0.0, 0.0, 0.14, 0.0)
LEFT, STEP, BASE, TALL = 8, 19, 122, 66
# title, its model, how weights are made, and what `routed` is given
KINDS = (
    ("The best one", "Switch", {"k": 1, "renormalise": False}),
    ("The best two", "Mixtral", {"k": 2}),
    ("Sigmoid and bias", "DeepSeek-V3", {"k": 2, "sigmoid": True, "bias": BIAS}),
    ("The best group", "DeepSeek-V2", {"k": 2, "groups": 2, "renormalise": False}),
)


def routed(
    logits=LOGITS, k=2, renormalise=True, sigmoid=False, bias=None, groups=1
) -> tuple[list[float], list[int], list[float]]:
    """Scores of all experts, the picked ones, and their weights, for one token. Of
    several groups only the one with the best expert is searched.
    """
    if sigmoid:
        scores = [1 / (1 + math.exp(-z)) for z in logits]
    else:
        total = sum(math.exp(z) for z in logits)
        scores = [math.exp(z) / total for z in logits]
    choice = [s + b for s, b in zip(scores, bias or [0.0] * len(scores), strict=True)]
    size = len(scores) // groups
    best = max(range(groups), key=lambda g: max(choice[g * size : (g + 1) * size]))
    allowed = (
        range(best * size, (best + 1) * size) if groups > 1 else range(len(scores))
    )
    picked = sorted(sorted(allowed, key=lambda e: -choice[e])[:k])
    weights = [scores[e] for e in picked]
    if renormalise:
        weights = [w / sum(weights) for w in weights]
    return scores, picked, weights


def draw() -> Figure:
    """Four panels on one scale for softmax scores and one for sigmoid scores."""
    return Figure(*(_panel(*kind) for kind in KINDS))


def _panel(title: str, model: str, given: dict) -> Panel:
    pen = Pen(HALF)
    scored = "sigmoid" if given.get("sigmoid") else "softmax"
    scores, picked, weights = routed(**given)
    bias = given.get("bias") or (0.0,) * len(scores)
    most = 0.95 if given.get("sigmoid") else 0.3
    pen.text(6, 15, title, "T")
    pen.text(6, 30, model, "s m")
    pen.text(HALF - 6, 30, scored, "s m", "end")
    half = len(scores) // given.get("groups", 1)
    for e, (score, added) in enumerate(zip(scores, bias, strict=True)):
        x, high = LEFT + e * STEP, TALL * score / most
        pen.rect(x, BASE - high, 14, high, "k ffn" if e in picked else "q ffn", 0)
        if added:
            top = BASE - TALL * max(score, score + added) / most
            pen.rect(x + 1, top, 12, TALL * abs(added) / most, "b diff", 0)
            pen.text(x + 7, top - 4, "+" if added > 0 else "−", "B", "middle")
        pen.text(x + 7, BASE + 13, e + 1, "s", "middle")
    line(pen, (LEFT - 3, BASE), (LEFT + 8 * STEP - 2, BASE))
    if half < len(scores):
        out = picked[0] < half
        x = LEFT - 3 + (half * STEP if out else 0)
        pen.rect(x, 40, half * STEP - 1, BASE - 40 + 18, "g")
        pen.text(x + half * STEP / 2, 52, "left out", "s m", "middle")
    y = BASE + 32
    for e, weight in zip(picked, weights, strict=True):
        pen.text(6, y, f"expert {e + 1}", "s")
        pen.text(70, y, f"weight {weight:.2f}", "B s")
        y += 14
    if len(picked) == 1:
        pen.text(6, y, "and nothing else", "s m")
    total = f"{sum(weights):.2f}".rstrip("0").rstrip(".")
    sums = f"sum {total}" + (", renormalised" if given.get("renormalise", True) else "")
    pen.text(6, BASE + 62, sums, "s m")
    shown = ", ".join(f"{w:.2f}" for w in weights)
    chosen = " and ".join(str(e + 1) for e in picked)
    return Panel(
        title,
        f"{scored}; picked: {chosen}; weights {shown}.",
        pen,
        BASE + 70,
    )
