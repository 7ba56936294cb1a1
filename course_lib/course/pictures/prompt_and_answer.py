"""What a token of the prompt and one of the answer pass in each form, and what is
cached: the table of costs as bars.
"""

from course_lib.kit.diagrams.figure import Figure, Panel
from course_lib.kit.diagrams.marks import legend
from course_lib.kit.diagrams.pen import Pen
from course_lib.kit.diagrams.tensors import maths

LAYERS = 24
Term = tuple[float, float]  # a multiple of L, and a constant
# Weights, those that a prompt token and an answer token pass (in d²), numbers cached
# for a token (in d): the rows of the page's table.
FORMS: dict[str, tuple[Term, Term, Term | None, Term]] = {
    "Encoder": ((12, 0), (12, 0), None, (0, 0)),
    "Decoder, PrefixLM": ((12, 0), (12, 0), (12, 0), (2, 0)),
    "Encoder-decoder": ((14, 0), (7, 0), (7, 0), (1, 0)),
    "Causal encoder-decoder": ((11, 2), (6, 2), (11, 2), (1, 2)),
}
LEFT, BARS, CACHE, MOST = 8, 204, 238, 46


def draw() -> Figure:
    """Four forms under one another; bars to scale for 24 layers."""
    pen = Pen()
    pen.text(LEFT, 14, "weights that a token passes", "m s")
    pen.text(CACHE, 14, "cached per token", "m s")
    y, said = 24.0, []
    for name, (weights, prompt, answer, cached) in FORMS.items():
        y = _form(pen, y, name, weights, [("attn", prompt), ("ffn", answer)])
        _cached(pen, y - 44, cached)
        passed = f"a prompt token passes {_words(prompt, 'd²')} weights"
        said.append(f"{name}: {passed} of {_words(weights, 'd²')}.")
    entries = [
        ("b attn", "prompt token"),
        ("b ffn", "answer token"),
        ("e", "all weights"),
    ]
    y += legend(pen, LEFT, y, [*entries, ("p kept", "cached")], 2, 300)
    return Figure(Panel("Prompt and answer in four forms", " ".join(said), pen, y + 2))


def _size(term: Term) -> float:
    """A term at 24 layers, as a multiple of L."""
    return term[0] + term[1] / LAYERS


def _words(term: Term, unit: str) -> str:
    times, more = term
    head = "L" if times == 1 else f"{times} L"
    if not times:
        return "0"
    return f"({head} + {more}) {unit}" if more else f"{head} {unit}"


def _form(
    pen: Pen, y: float, name: str, weights: Term, passed: list[tuple[str, Term | None]]
) -> float:
    """The outline is the whole model, the bars what a token passes of it."""
    scale = BARS / 14
    pen.text(LEFT, y + 11, name, "T")
    pen.rect(LEFT, y + 17, _size(weights) * scale, 34, "e", 2)
    for i, (role, term) in enumerate(passed):
        if term:
            top = y + 19 + 16 * i
            pen.rect(LEFT + 2, top, _size(term) * scale - 4, 14, f"b {role}", 1)
            maths(pen, LEFT + 8, top + 11, _words(term, "d²"), "s")
    return y + 66


def _cached(pen: Pen, y: float, cached: Term) -> None:
    wide = max(_size(cached) * MOST, 1.5)
    pen.rect(CACHE, y, wide, 14, "p kept" if cached[0] else "e", 1)
    if cached[0]:
        maths(pen, CACHE, y + 26, _words(cached, "d"), "s")
    else:
        pen.text(CACHE, y + 26, "nothing", "s")
