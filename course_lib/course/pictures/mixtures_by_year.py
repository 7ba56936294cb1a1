"""Mixtures of experts by year: experts, picks, total and active parameters.

Models with a `ModelSpec` are counted from it; the others stand as their papers give
them, each with its key in `book/references.bib`.
"""

import math
from dataclasses import dataclass

from course_lib.costs.params import param_count
from course_lib.kit.diagrams.figure import Figure, Panel
from course_lib.kit.diagrams.marks import legend
from course_lib.kit.diagrams.pen import WIDTH, Pen
from course_lib.specs.loader import load_spec
from course_lib.specs.records import MoESpec


@dataclass(frozen=True, kw_only=True)
class Mixture:
    """One row; `active` is 0 where no source gives it."""

    name: str
    year: str
    experts: int
    top_k: int
    shared: int
    note: str
    total: float
    active: float


@dataclass(frozen=True, kw_only=True)
class Published(Mixture):
    """A model without a spec here, and the source of its numbers."""

    source: str


# a spec's name, the name shown, the month of its source, and what it brought
SPECS = (
    ("mixtral-8x7b", "Mixtral 8x7B", "2024-01", "open weights"),
    ("deepseek-v2", "DeepSeek-V2", "2024-05", "fine-grained, shared, groups"),
    ("deepseek-v3", "DeepSeek-V3, R1", "2024-12", "sigmoid, bias, MTP"),
    ("llama-4-maverick", "Llama 4 Maverick", "2025-04", "every second layer"),
    ("gpt-oss-120b", "gpt-oss-120b", "2025-08", "weights in 4 bits"),
    ("nemotron-3-nano-30b-a3b", "Nemotron 3 Nano", "2025-12", "beside Mamba-2"),
    ("qwen3.5-35b-a3b", "Qwen3.5-35B-A3B", "2026-02", "beside DeltaNet"),
)
PAPERS = (
    Published(
        name="Switch-C",
        year="2021-01",
        experts=2048,
        top_k=1,
        shared=0,
        note="one expert, capacity",
        total=1.6e12,
        active=0,
        source="fedus2021switch",
    ),
    Published(
        name="GLaM",
        year="2021-12",
        experts=64,
        top_k=2,
        shared=0,
        note="a decoder, every second layer",
        total=1.2e12,
        active=96.6e9,
        source="du2021glam",
    ),
    Published(
        name="DeepSeek-V4-Pro",
        year="2026-06",
        experts=384,
        top_k=6,
        shared=1,
        note="3 layers routed by token id",
        total=1.6e12,
        active=49e9,
        source="deepseek2026v4",
    ),
    Published(
        name="Kimi K3",
        year="2026-07",
        experts=896,
        top_k=16,
        shared=2,
        note="experts on a latent",
        total=2.8e12,
        active=104e9,
        source="moonshot2026k3",
    ),
)
LEFT, WIDE, ROW, TOP = 178, 156, 32, 44
LEAST, MOST = 1e9, 4e12


def rows() -> list[Mixture]:
    """All models of the table, by the month of their source."""
    return sorted([*map(_counted, SPECS), *PAPERS], key=lambda row: row.year)


def _counted(entry: tuple[str, str, str, str]) -> Mixture:
    name, shown, year, note = entry
    spec = load_spec(name)
    moe = next(layer.ffn for layer in spec.layers if isinstance(layer.ffn, MoESpec))
    counts = param_count(spec)
    return Mixture(
        name=shown,
        year=year,
        experts=moe.experts,
        top_k=moe.top_k,
        shared=moe.shared,
        note=note,
        total=counts.total,
        active=counts.active,
    )


def draw() -> Figure:
    """One row a model: what it picks from, and its parameters on a log scale."""
    pen = Pen()
    pen.text(4, 15, "Picked of how many, and parameters", "H")
    for power, words in ((9, "1"), (10, "10"), (11, "100"), (12, "1,000")):
        x = LEFT + _length(10.0**power)
        pen.text(x, 36, words, "s m n", "middle")
        for i in range(len(rows())):  # beside the bars only: words stand below them
            pen.path(f"M{x:.1f} {TOP + i * ROW}v17", "e", under=True)
    pen.text(LEFT - 18, 36, "billions:", "s m", "end")
    for i, row in enumerate(rows()):
        _row(pen, TOP + i * ROW, row)
    y = TOP + ROW * len(rows()) + 6
    y += legend(pen, 6, y, [("k ffn", "active for a token"), ("b ffn", "total")])
    said = "; ".join(
        f"{row.name} ({row.year[:4]}): {row.top_k} of {row.experts}, "
        f"{_billions(row)} billion"
        for row in rows()
    )
    return Figure(Panel("Mixtures by year", f"{said}.", pen, y + 4))


def _row(pen: Pen, y: float, row: Mixture) -> None:
    pen.text(4, y + 12, row.year[:4], "s m n")
    pen.text(32, y + 12, row.name, "s B")
    shared = f" + {row.shared}" if row.shared else ""
    pen.text(32, y + 25, f"{row.top_k} of {row.experts:,}{shared}", "s")
    pen.rect(LEFT, y + 3, _length(row.total), 11, "b ffn", 0)
    if row.active:
        pen.rect(LEFT, y + 3, _length(row.active), 11, "k ffn", 0)
    pen.text(LEFT, y + 25, row.note, "s m")
    pen.text(LEFT - 6, y + 25, _billions(row), "s n", "end")


def _billions(row: Mixture) -> str:
    active = f" / {row.active / 1e9:.3g}" if row.active else ""
    return f"{row.total / 1e9:,.0f}{active}"


def _length(parameters: float) -> float:
    share = math.log10(parameters / LEAST) / math.log10(MOST / LEAST)
    return min(WIDE * share, WIDTH - LEFT - 4)
