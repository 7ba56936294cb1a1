"""The published models as entries of the gallery: names, dates, sizes, mechanisms."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from course_lib.course.gallery.describe import describe
from course_lib.course.gallery.facts import facts
from course_lib.course.gallery.rows import Row, View
from course_lib.specs.loader import list_specs, load_release, load_spec
from course_lib.specs.provenance import Release
from course_lib.specs.records import ModelSpec

Test = Callable[[str, Row], bool]


def _kind(*starts: str) -> Test:
    return lambda key, row: key.endswith("/kind") and row.text.startswith(starts)


def _row(name: str, start: str = "") -> Test:
    return lambda key, row: (
        key.endswith(f"/{name}") and row.text.lower().startswith(start)
    )


MECHANISMS: dict[str, Test] = {
    "multi-head attention (MHA)": _kind("Multi-head attention"),
    "grouped-query attention (GQA)": _kind("Grouped-query"),
    "multi-query attention (MQA)": _kind("Multi-query"),
    "latent attention (MLA)": _kind("Multi-head latent"),
    "sliding or local window": lambda key, row: (
        key.endswith("/mask") and "window" in row.text
    ),
    "bidirectional attention": lambda key, row: (
        key.endswith("/mask") and row.text.startswith(("bidirectional", "local"))
    ),
    "cross-attention": _kind("Cross-attention"),
    "mixture of experts (MoE)": _kind("Mixture of experts"),
    "shared experts": _row("shared"),
    "recurrent state": _kind(
        "Mamba", "RWKV", "Gated DeltaNet", "Kimi Delta", "Lightning", "RG-LRU"
    ),
    "RoPE": _row("position", "rope"),
    "RoPE scaling": _row("rope_scaling"),
    "ALiBi": _row("position", "alibi"),
    "no positions (NoPE)": _row("position", "no positions"),
    "learned positions": _row("positions"),
    "relative bias": _row("relative"),
    "QK norm": _row("qk_norm"),
    "softcap": lambda key, row: key.endswith("softcap"),
    "attention sinks": _row("sinks"),
    "output gate": _row("output_gate"),
    "post-norm": _row("layout", "post"),
    "sandwich norm": _row("layout", "sandwich"),
    "parallel residual": _row("layout", "parallel"),
    "tied embeddings": _row("tied", "tied"),
    "images": _kind("Patch embedding"),
}
"""What the gallery can be filtered by: told by the rows, as everything else is."""


@dataclass(frozen=True)
class Entry:
    """A published model in the gallery."""

    spec: ModelSpec
    release: Release
    view: View

    @property
    def name(self) -> str:
        """The name under which it is loaded, which is its address on the page."""
        return self.spec.name

    @property
    def mechanisms(self) -> tuple[str, ...]:
        """What of `MECHANISMS` it has."""
        rows = facts(self.view).items()
        return tuple(
            name
            for name, test in MECHANISMS.items()
            if any(test(key, row) for key, row in rows)
        )


def entry(name: str) -> Entry:
    """The entry of one model."""
    spec = load_spec(name)
    return Entry(spec, load_release(name), describe(spec))


@cache
def entries() -> tuple[Entry, ...]:
    """All published models, the newest first, those without a date last."""
    found = sorted(map(entry, list_specs()), key=lambda one: one.release.name.lower())
    return tuple(sorted(found, key=lambda one: one.release.date or "", reverse=True))


def shown_name(spec: ModelSpec) -> str:
    """What a model is called: a published one by its authors' name."""
    return load_release(spec.name).name if spec.name in list_specs() else spec.name
