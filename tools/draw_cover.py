"""Draw book/_static/cover.svg: what five published models keep in memory for one
request.

    python tools/draw_cover.py

The picture on the first page and in the README. Its values and its words come from
`course_lib`, and a test compares the words in both places, and in the picture, with
`alt()`.
"""

from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt

from course_lib.costs.cache import cache_bytes
from course_lib.costs.hardware import load_hardware
from course_lib.kit import plotting
from course_lib.specs.loader import load_spec

TARGET = Path(__file__).resolve().parent.parent / "book" / "_static" / "cover.svg"
GIB = 2**30
CONTEXTS = [2**power for power in range(10, 18)]
LAST = CONTEXTS[-1]
ACCELERATOR = "A100-80GB-SXM"
# Model, its name on the picture, and its mechanism.
MODELS = (
    ("gpt3-175b", "GPT-3 175B", "every head its own keys"),
    ("llama-3.1-70b", "Llama 3.1 70B", "8 heads share one"),
    ("deepseek-v3", "DeepSeek-V3", "one small latent"),
    ("mistral-7b-v0.1", "Mistral 7B v0.1", "a window of 4,096"),
    ("mamba-2.8b", "Mamba 2.8B", "a fixed state"),
)


def cache_gib(model: str, tokens: int) -> float:
    """Return the GiB one request of `tokens` tokens keeps, in 16-bit numbers."""
    return cache_bytes(load_spec(model), batch=1, tokens=tokens) / GIB


def shown(gib: float) -> str:
    """Return GiB for prose: two significant digits at least, MiB below one.

    >>> shown(576.0), shown(8.578), shown(0.0626)
    ('576 GiB', '8.6 GiB', '64 MiB')
    """
    return (
        f"{gib * 1024:.0f} MiB"
        if gib < 1
        else f"{gib:.1f} GiB"
        if gib < 10
        else f"{gib:.0f} GiB"
    )


def alt() -> str:
    """Return the picture in words."""
    ends = "; ".join(
        f"{name} ({how}) {shown(cache_gib(key, LAST))}" for key, name, how in MODELS
    )
    return f"Memory one request keeps against its context. At {LAST:,} tokens: {ends}."


def draw() -> plt.Figure:
    """Draw one line for each model, on logarithmic axes, labelled at its end."""
    fig, axes = plt.subplots(figsize=(8.4, 4.3))
    for (key, name, how), colour, dash in zip(
        MODELS, plotting.COLOURS, plotting.DASHES, strict=False
    ):
        gib = [cache_gib(key, tokens) for tokens in CONTEXTS]
        axes.plot(CONTEXTS, gib, color=colour, linestyle=dash, linewidth=2.2)
        label = f"{name}: {shown(gib[-1])}\n{how}"
        axes.text(
            LAST * 1.12, gib[-1], label, va="center", fontsize=11, linespacing=1.15
        )
    memory = load_hardware(ACCELERATOR).memory_bytes / GIB
    axes.axhline(memory, color=plotting.INK, linewidth=1, linestyle=(0, (2, 2)))
    box = {"facecolor": plotting.CARD, "edgecolor": "none", "pad": 1}
    axes.text(
        1100,
        memory * 1.3,
        "all the memory of one 80 GB accelerator",
        fontsize=11,
        bbox=box,
    )
    axes.set(
        xscale="log", yscale="log", xlim=(CONTEXTS[0], LAST), ylim=(10 / 1024, 1500)
    )
    axes.set_xticks(CONTEXTS[::2], [f"{tokens // 1024}K" for tokens in CONTEXTS[::2]])
    ticks = {
        10 / 1024: "10 MiB",
        100 / 1024: "100 MiB",
        1: "1 GiB",
        10: "10 GiB",
        100: "100 GiB",
        1000: "1000 GiB",
    }
    axes.set_yticks(list(ticks), ticks.values())
    axes.minorticks_off()
    axes.set_xlabel("tokens in context")
    axes.set_title("What one request keeps in memory", loc="left")
    return fig


if __name__ == "__main__":
    plotting.style()
    mpl.rcParams["svg.hashsalt"] = "cover"
    draw().savefig(
        TARGET,
        format="svg",
        bbox_inches="tight",
        metadata={"Date": None, "Description": alt()},
    )
