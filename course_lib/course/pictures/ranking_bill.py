"""A hundred passages ranked by an encoder and by a chat model: seconds, to scale."""

from course_lib.costs.hardware import load_hardware
from course_lib.costs.latency import request_latency
from course_lib.costs.params import param_count
from course_lib.costs.roofline import prefill_time
from course_lib.kit.diagrams.figure import Figure, Panel
from course_lib.kit.diagrams.marks import grid
from course_lib.kit.diagrams.pen import Pen
from course_lib.specs.loader import load_spec
from course_lib.specs.records import ModelSpec

PAIRS, TOKENS, WRITTEN = 100, 512, 20  # as in notebook 00/01
NODE = {"batch": PAIRS, "devices": 4}
LEFT, LONGEST = 8, 322


def draw() -> Figure:
    """Passages at the top; the time of each model as a bar, on one scale."""
    device = load_hardware("H100-SXM")
    encoder, chat = load_spec("bert-large"), load_spec("llama-3.1-70b")
    read = prefill_time(chat, device, TOKENS, **NODE)
    whole = request_latency(chat, device, tokens_in=TOKENS, tokens_out=WRITTEN, **NODE)
    scored = prefill_time(encoder, device, TOKENS, **NODE)
    pen = Pen()
    pen.text(LEFT, 12, f"{PAIRS} passages of {TOKENS} tokens", "m s")
    grid(pen, LEFT, 20, 2, 50, 6.44, lambda i, j: "q emb", gap=1.5)
    scale = LONGEST / whole
    y = _model(pen, 44, f"Encoder, {_billions(encoder)}", "one pass, a score each")
    pen.rect(LEFT, y, max(scored * scale, 1.5), 20, "p attn", 0)
    pen.text(LEFT + scored * scale + 6, y + 14, f"{1000 * scored:.0f} ms", "B")
    y = _model(pen, y + 36, f"Chat model, {_billions(chat)}", "a judgement each")
    pen.rect(LEFT, y, read * scale, 20, "p attn", 0)
    pen.rect(LEFT + read * scale, y, (whole - read) * scale, 20, "p ffn", 0)
    pen.text(LEFT, y + 35, f"pass over the passages: {read:.1f} s", "s")
    words = f"writing {WRITTEN} tokens: {whole - read:.1f} s"
    pen.text(LEFT + LONGEST, y + 35, words, "s", "end")
    pen.text(LEFT + LONGEST, y - 6, f"{whole:.1f} s", "B", "end")
    return Figure(
        Panel(
            "The bill of a ranking",
            f"To rank {PAIRS} passages on four H100, the encoder takes "
            f"{1000 * scored:.0f} milliseconds and the chat model {whole:.1f} seconds, "
            f"of which {whole - read:.1f} go into writing.",
            pen,
            y + 42,
        )
    )


def _billions(spec: ModelSpec) -> str:
    return f"{param_count(spec).total / 1e9:.2g} B parameters"


def _model(pen: Pen, y: float, name: str, does: str) -> float:
    """A model's name and what it does. Returns where its bar begins."""
    pen.text(LEFT, y + 12, name, "T")
    pen.text(LEFT, y + 27, does, "s")
    return y + 34
