"""The picture of the first page: what five published models keep in memory for one
request, against its length, and the layers of each to scale.
"""

import math

from course_lib.costs.cache import cache_bytes
from course_lib.costs.hardware import load_hardware
from course_lib.course.gallery.describe import describe
from course_lib.course.gallery.strip import columns, strip
from course_lib.kit.diagrams.figure import Figure, Panel
from course_lib.kit.diagrams.marks import line
from course_lib.kit.diagrams.pen import Pen
from course_lib.specs.loader import load_spec

GIB = 2**30
CONTEXTS = [2**power for power in range(10, 18)]
LAST = CONTEXTS[-1]
ACCELERATOR = "A100-80GB-SXM"
LEFT, RIGHT, TOP, BOTTOM = 52, 242, 30, 252
LOW, HIGH = 10 / 1024, 1000  # GiB, on a logarithmic axis
TICKS = {10 / 1024: "10 MiB", 0.1: "100 MiB", 1: "1 GiB", 10: "10", 100: "100"}
# Model, its full name, its name at its line, its mechanism, the classes of its line.
MODELS = (
    ("gpt3-175b", "GPT-3 175B", "GPT-3", "every head its own keys", "u attn"),
    ("llama-3.1-70b", "Llama 3.1 70B", "Llama 3.1", "8 heads share one", "u attn"),
    ("deepseek-v3", "DeepSeek-V3", "DeepSeek-V3", "one small latent", "u attn"),
    ("mistral-7b-v0.1", "Mistral 7B v0.1", "Mistral", "a window of 4,096", "u attn d"),
    ("mamba-2.8b", "Mamba 2.8B", "Mamba", "a fixed state", "u state"),
)


def draw() -> Figure:
    """The lines, and beside them the models."""
    return Figure(_lines(), _models())


def cache_gib(model: str, tokens: int) -> float:
    """The GiB that one request of so many tokens keeps, in 16-bit numbers."""
    return cache_bytes(load_spec(model), batch=1, tokens=tokens) / GIB


def shown(gib: float) -> str:
    """GiB for prose: two significant digits at least, MiB below one.

    >>> shown(576.0), shown(8.578), shown(0.0626)
    ('576 GiB', '8.6 GiB', '64 MiB')
    """
    if gib < 1:
        return f"{gib * 1024:.0f} MiB"
    return f"{gib:.1f} GiB" if gib < 10 else f"{gib:.0f} GiB"


def words() -> str:
    """The picture in words."""
    ends = "; ".join(
        f"{name} ({how}) {shown(cache_gib(key, LAST))}"
        for key, name, _, how, _ in MODELS
    )
    return f"Memory one request keeps against its context. At {LAST:,} tokens: {ends}."


def _x(tokens: float) -> float:
    share = math.log(tokens / CONTEXTS[0]) / math.log(LAST / CONTEXTS[0])
    return LEFT + (RIGHT - LEFT) * share


def _y(gib: float) -> float:
    return BOTTOM - (BOTTOM - TOP) * math.log(gib / LOW) / math.log(HIGH / LOW)


def _lines() -> Panel:
    pen = Pen()
    pen.text(4, 15, "Memory that one request keeps", "H")
    for gib, name in TICKS.items():
        line(pen, (LEFT, _y(gib)), (RIGHT, _y(gib)), cls="e")
        pen.text(LEFT - 6, _y(gib) + 4, name, "m n", "end")
    for tokens in CONTEXTS[::2]:
        pen.text(_x(tokens), BOTTOM + 16, f"{tokens // 1024}K", "m n", "middle")
    pen.text((LEFT + RIGHT) / 2, BOTTOM + 32, "tokens in context", "m", "middle")
    memory = load_hardware(ACCELERATOR).memory_bytes / GIB
    line(pen, (LEFT, _y(memory)), (RIGHT, _y(memory)), cls="l d")
    pen.text(LEFT + 3, _y(memory) - 5, "one 80 GB accelerator", "s")
    for model, _, short, _, look in MODELS:
        ends = [(_x(tokens), _y(cache_gib(model, tokens))) for tokens in CONTEXTS]
        line(pen, *ends, cls=look)
        pen.text(RIGHT + 6, ends[-1][1] + 4, short, "B")
    line(pen, (LEFT, TOP), (LEFT, BOTTOM), (RIGHT, BOTTOM), cls="l")
    return Panel("Memory of one request", words(), pen, BOTTOM + 40)


def _models() -> Panel:
    """Each model with its layers, its mechanism and what it keeps at the end."""
    pen = Pen()
    pen.text(8, 15, f"At {LAST // 1024}K tokens", "H")
    y = 42
    for model, name, _, how, _ in MODELS:
        pen.text(8, y, name, "T")
        pen.text(332, y, shown(cache_gib(model, LAST)), "T n", "end")
        layers = columns(describe(load_spec(model)).stacks[0])
        strip(pen, 8, y + 6, layers, 324 / 96, 6)
        pen.text(8, y + 31, f"{len(layers)} layers, {how}", "s m")
        y += 52
    told = ", ".join(f"{name}: {how}" for _, name, _, how, _ in MODELS)
    return Panel("The layers of five models", f"{told}.", pen, y - 8)
