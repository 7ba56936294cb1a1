"""A prompt that is four times as long: what grows four times, what grows more, and what
shrinks.
"""

from functools import cache

from course_lib.costs.cache import cache_bytes
from course_lib.costs.flops import Flops, prefill_flops_split
from course_lib.costs.hardware import load_hardware
from course_lib.costs.serving import max_concurrency
from course_lib.kit.diagrams.figure import Figure, Panel
from course_lib.kit.diagrams.marks import legend
from course_lib.kit.diagrams.pen import Pen
from course_lib.specs.loader import load_spec

MODEL, DEVICE, DEVICES = "qwen2.5-72b", "H200-SXM", 4
SHORT, LONG = 32_768, 131_072
LEFT, WIDE, TALL = 46, 220, 13


@cache
def kept_gib(tokens: int) -> float:
    """Keys and values of one request."""
    return cache_bytes(load_spec(MODEL), batch=1, tokens=tokens) / 2**30


@cache
def work(tokens: int) -> Flops:
    """FLOPs until the first new token."""
    return prefill_flops_split(load_spec(MODEL), tokens)


@cache
def at_once(tokens: int) -> int:
    """Requests that fit beside the weights."""
    hardware = load_hardware(DEVICE)
    return max_concurrency(load_spec(MODEL), hardware, tokens, devices=DEVICES)


def draw() -> Figure:
    """Three quantities, each for the short and the long prompt."""
    pen = Pen()
    y = _pair(pen, 0, "Keys and values", "GiB", [(kept_gib(SHORT),), (kept_gib(LONG),)])
    parts = [(work(n).linear / 1e15, work(n).attention / 1e15) for n in (SHORT, LONG)]
    y = _pair(pen, y, "Work until the first token", "PFLOP", parts)
    fits = [(at_once(SHORT),), (at_once(LONG),)]
    y = _pair(pen, y, f"Requests at once on {DEVICES} H200", "", fits)
    entries = [("p attn", "attention"), ("p ffn", "all other work")]
    y += legend(pen, 6, y, [*entries, ("p kept", "kept"), ("p emb", "requests")])
    ratio = work(LONG).total / work(SHORT).total
    said = (
        f"From 32K to 128K tokens the cache grows from {kept_gib(SHORT):.0f} to "
        f"{kept_gib(LONG):.0f} GiB, the work {ratio:.1f} times, and {at_once(LONG)} "
        f"requests fit where {at_once(SHORT)} did."
    )
    return Figure(Panel("Three costs of length", said, pen, y + 4))


def _pair(pen: Pen, y: float, title: str, unit: str, values) -> float:
    roles = {"GiB": ["kept"], "PFLOP": ["ffn", "attn"], "": ["emb"]}[unit]
    short, long = (sum(parts) for parts in values)
    times = long / short
    grows = f"× {times:.1f}" if times > 1 else f"÷ {1 / times:.1f}"
    pen.text(4, y + 14, title, "T")
    pen.text(336, y + 14, grows, "B", "end")
    for i, (name, parts) in enumerate(zip(("32K", "128K"), values, strict=True)):
        x, top = float(LEFT), y + 21 + i * 17
        pen.text(LEFT - 6, top + 10, name, "s m", "end")
        for role, value in zip(roles, parts, strict=True):
            wide = value / max(short, long) * WIDE
            pen.rect(x, top, max(wide, 1), TALL, f"p {role}", 0)
            x += wide
        total = sum(parts)
        words = f"{total:.1f}" if unit == "PFLOP" else f"{total:,.0f}"
        pen.text(x + 5, top + 10, f"{words} {unit}".strip(), "s")
    return y + 62
