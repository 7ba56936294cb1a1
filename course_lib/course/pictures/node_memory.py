"""The memory of a node of eight GPUs, to scale: weights, what is kept back, and the KV
caches of the conversations that fit.

Each conversation is a stripe across all GPUs: Llama 3.1 70B has 8 KV heads, one for
each device.
"""

from course_lib.costs.cache import cache_bytes
from course_lib.costs.hardware import load_hardware
from course_lib.costs.serving import max_concurrency, weight_bytes
from course_lib.kit.diagrams.figure import Figure, Panel
from course_lib.kit.diagrams.marks import bracket
from course_lib.kit.diagrams.pen import Pen, cell
from course_lib.specs.loader import load_spec

MODEL, GPU, DEVICES, RESERVE = "llama-3.1-70b", "H100-SXM", 8, 0.1
LEFT, TOP, WIDE, HIGH = 8, 46, 25, 220
RIGHT = LEFT + DEVICES * WIDE


def draw() -> Figure:
    """The node of the chapter's story, before the change and after it."""
    return Figure(*(_panel(thousands) for thousands in (32, 128)))


def _panel(thousands: int) -> Panel:
    spec, gpu, tokens = load_spec(MODEL), load_hardware(GPU), thousands * 1024
    options = {"context": tokens, "devices": DEVICES, "reserve": RESERVE}
    fit = max_concurrency(spec, gpu, **options)
    scale = HIGH / (DEVICES * gpu.memory_bytes)
    weights, one = weight_bytes(spec), cache_bytes(spec, batch=1, tokens=tokens)
    pen, floor = Pen(), TOP + HIGH
    pen.text(4, 14, f"{thousands}K tokens each: {fit} conversations", "H")
    for i in range(DEVICES):
        x = LEFT + i * WIDE
        pen.text(x + WIDE / 2, TOP - 6, i, "s m", "middle")
        pen.rect(x, TOP, WIDE - 3, HIGH, "e", 0)
        pen.rect(x, TOP, WIDE - 3, HIGH * RESERVE, "q norm", 0)
        high = weights * scale
        pen.rect(x, floor - high, WIDE - 3, high, "q attn", 0)
    pen.text(RIGHT + 6, TOP - 6, "GPU", "s m")
    base, step = floor - weights * scale, one * scale
    gap = min(1.5, step / 4)
    stripes = [
        cell(LEFT + i * WIDE, base - (n + 1) * step + gap, WIDE - 3, step - gap)
        for n in range(fit)
        for i in range(DEVICES)
    ]
    pen.path("".join(stripes), "p kept")
    _labels(pen, floor, base, base - fit * step, fit, (weights, one))
    return Panel(
        f"{fit} conversations of {thousands}K tokens",
        f"Eight GPUs hold {weights / 1e9:.0f} GB of weights and keep a tenth back. One "
        f"conversation of {thousands}K tokens takes {one / 1e9:.1f} GB, so {fit} fit.",
        pen,
        floor + 8,
    )


def _labels(pen: Pen, floor, base, top, fit, sizes) -> None:
    weights, one = sizes
    x = RIGHT + 16
    bracket(pen, RIGHT + 2, top, base, "")
    pen.text(x, (top + base) / 2 - 8, "KV caches", "T")
    pen.text(x, (top + base) / 2 + 7, f"{fit} × {one / 1e9:.1f} GB")
    pen.text(x, (floor + base) / 2 - 3, "weights", "T")
    pen.text(x, (floor + base) / 2 + 12, f"{weights / 1e9:.0f} GB, bf16")
    pen.text(x, TOP + 14, "kept back, 64 GB", "m")
