"""A long prompt in one piece and in chunks: how long the decoding of others stands
still, and how chunks grow longer as the prompt gets deeper.
"""

from functools import cache

from course_lib.costs.flops import prefill_flops
from course_lib.costs.hardware import load_hardware
from course_lib.kit.diagrams.figure import Figure, Panel
from course_lib.kit.diagrams.marks import legend
from course_lib.kit.diagrams.pen import Pen
from course_lib.kit.diagrams.tensors import bars
from course_lib.specs.loader import load_spec

MODEL, DEVICE = "qwen3.5-35b-a3b", "H200-SXM"
PROMPT, CHUNK = 131_072, 8_192
LEFT, WIDE = 6, 328


@cache
def until(tokens: int) -> float:
    """Seconds of arithmetic for the first tokens of a prompt, at the device's peak."""
    return prefill_flops(load_spec(MODEL), tokens) / load_hardware(DEVICE).peak_flops


def chunk_seconds() -> list[float]:
    """Seconds of each chunk: its own tokens, attending to all before them."""
    ends = range(CHUNK, PROMPT + 1, CHUNK)
    return [until(end) - (until(end - CHUNK) if end > CHUNK else 0.0) for end in ends]


def draw() -> Figure:
    """Two timelines, and the chunks as bars."""
    pen, chunks = Pen(), chunk_seconds()
    whole = sum(chunks)
    pen.text(4, 14, "In one piece", "T")
    pen.text(336, 14, f"others wait {whole:.1f} s", "s B", "end")
    pen.rect(LEFT, 21, WIDE - 2, 18, "k attn", 0)
    pen.text(4, 60, f"In {len(chunks)} chunks of {CHUNK:,}", "T")
    pen.text(336, 60, f"others wait {max(chunks):.2f} s at most", "s B", "end")
    x = float(LEFT)
    for seconds in chunks:
        wide = seconds / whole * WIDE
        pen.rect(x, 67, max(wide - 2, 1), 18, "k attn", 0)
        pen.rect(x + wide - 2, 67, 2, 18, "k ffn", 0)
        x += wide
    base = 168
    pen.text(4, 106, "Seconds of each chunk", "T")
    bars(pen, LEFT, base, WIDE / len(chunks), chunks, 46 / max(chunks), "p attn", gap=4)
    for i in (0, len(chunks) - 1):
        at = LEFT + (i + 0.5) * WIDE / len(chunks)
        y = base - chunks[i] * 46 / max(chunks) - 4
        words = f"{chunks[i]:.2f}"
        anchor = "middle" if i == 0 else "end"
        pen.text(at + (8 if i else 0), y, words, "s B n", anchor)
    y = base + 8
    entries = [
        ("k attn", "prefill of the long prompt"),
        ("k ffn", "step of the others"),
    ]
    y += legend(pen, LEFT, y, entries) + 4
    said = (
        f"A prompt of {PROMPT:,} tokens takes {whole:.1f} s. Cut into {len(chunks)} "
        f"chunks, the first takes {chunks[0]:.2f} s and the last {chunks[-1]:.2f} s, "
        "and the others make a step after each."
    )
    return Figure(Panel("Chunked prefill of a long prompt", said, pen, y))
