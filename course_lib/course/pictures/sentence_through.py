"""SmolLM2-135M on one sentence: tokens, embedding, thirty blocks, the next token."""

from course_lib.course.sentence import MODEL, recorded
from course_lib.kit.diagrams.figure import Figure, Panel
from course_lib.kit.diagrams.marks import arrow, block, bracket, line, stream
from course_lib.kit.diagrams.pen import Pen
from course_lib.kit.diagrams.tokens import tokens
from course_lib.specs.loader import load_spec

STEP = 58  # from one token to the next
LEFT = 8
RIGHT = LEFT + 5 * STEP - 4


def draw() -> Figure:
    """From the text at the top to the probabilities at the bottom."""
    spec, seen = load_spec(MODEL), recorded()
    pen = Pen()
    pen.text(LEFT, 12, "tokens and their numbers", "m s")
    words = [piece.strip() for piece in seen.pieces]
    middles = tokens(pen, LEFT, 20, words, STEP)
    for x, number in zip(middles, seen.ids, strict=True):
        pen.text(x, 52, number, "c m", "middle")
        arrow(pen, (x, 57), (x, 70))
        stream(pen, 94, 250, x)
    embedding = f"Embedding: a row of {spec.vocab:,} × {spec.width} each"
    block(pen, LEFT, 72, RIGHT - LEFT, 24, embedding, "emb", "s")
    _block(pen, middles, 112)
    bracket(pen, RIGHT + 4, 112, 232, f"× {len(spec.layers)}")
    last = middles[-1]
    for x in middles[:-1]:
        line(pen, (x - 4, 250), (x + 4, 250))
    arrow(pen, (last, 250), (last, 262), head=5)
    block(
        pen, 92, 264, RIGHT - 92, 24, f"Output head: {spec.vocab:,} scores", "emb", "s"
    )
    arrow(pen, (last, 288), (last, 302))
    pen.text(LEFT, 280, "last token only", "m s")
    bottom = _likely(pen, 304, seen.likely)
    words = ", ".join(f"{w.strip()} {p:.0%}" for w, p in seen.likely)
    return Figure(
        Panel(
            "A sentence through SmolLM2-135M",
            f"The tokens of {''.join(seen.pieces)!r} become {spec.width} numbers each, "
            f"run side by side through {len(spec.layers)} blocks, in which attention "
            "connects a token with the earlier ones, and the last one's vector gives "
            f"the probabilities of the next token: {words}.",
            pen,
            bottom,
        )
    )


def _block(pen: Pen, middles: list[float], y: float) -> None:
    """Attention is one band over all tokens, the feed-forward network one box each."""
    pen.rect(LEFT, y, RIGHT - LEFT, 66, "b attn")
    pen.rect(LEFT, y, 4, 66, "p attn", 0)
    pen.text(LEFT + 12, y + 15, "Attention: from earlier tokens to later ones", "s")
    for i, x in enumerate(middles):
        pen.circle(x, y + 30, 3, "k attn")
        pen.circle(x, y + 56, 3, "k attn")
        for earlier in middles[: i + 1]:
            line(pen, (earlier, y + 30), (x, y + 56), cls="u attn")
    for x in middles:
        pen.rect(x - 25, y + 82, 50, 28, "b ffn")
        pen.text(x, y + 100, "FFN", "s", "middle")


def _likely(pen: Pen, y: float, likely: tuple[tuple[str, float], ...]) -> float:
    """Bars of the likeliest next tokens. Returns where they end."""
    pen.text(LEFT, y + 12, "next token", "m s")
    for i, (word, share) in enumerate(likely):
        top = y + 18 + 18 * i
        pen.text(86, top + 11, word.strip(), "B" if i == 0 else "", "end")
        pen.rect(92, top, max(1.5, share * 240), 14, "p emb", 1)
        pen.text(98 + share * 240, top + 11, f"{share:.0%}", "n")
    return y + 18 + 18 * len(likely) + 4
