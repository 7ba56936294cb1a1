"""A stack of layers as its kinds: each once under a letter, and their order."""

from collections import Counter
from dataclasses import replace

from course_lib.course.gallery.ends import start_part
from course_lib.course.gallery.feed_forward import ffn_part
from course_lib.course.gallery.mixers import mixer_part_of
from course_lib.course.gallery.norms import (
    after_row,
    before_row,
    layout_row,
    norm_row,
)
from course_lib.course.gallery.rows import Kind, Part, Row, Stack, Sublayer, plural
from course_lib.course.gallery.sides import side_parts, with_sides
from course_lib.specs.records import AttentionSpec, LayerSpec, ModelSpec

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def stack_view(
    spec: ModelSpec, layers: tuple[LayerSpec, ...], key: str, end: Part | None
) -> Stack:
    """Describe one stack of a model.

    Raises:
        ValueError: if it has more kinds of layers than there are letters.
    """
    found = list(Counter(layers).items())
    if len(found) > len(LETTERS):
        raise ValueError(f"layers={len(found)} kinds: at most {len(LETTERS)} are named")
    letters = {layer: LETTERS[i] for i, (layer, _) in enumerate(found)}
    order = tuple(letters[layer] for layer in layers)
    elsewhere = positions_elsewhere(spec, layers)
    kinds = tuple(
        kind_view(layer, spec.width, letters[layer], order, elsewhere)
        for layer, _ in found
    )
    if spec.head != "lm":
        kinds = tuple(keeping_nothing(kind) for kind in kinds)
    final = None
    if spec.final_norm is not None:
        final = norm_row(spec.final_norm, "final", "Final norm")
    head = (
        Row("layers", "Layers", plural(len(layers), "layer")),
        Row("width", "Model width", f"width {spec.width:,}"),
    )
    if spec.context is not None:
        head += (Row("context", "Context", f"context {spec.context:,}"),)
    if len(found) > 1:
        head += (Row("order", "Order of the layers", order_text(order)),)
    start = with_sides(start_part(spec), spec.sides)
    return Stack(key, head, start, kinds, order, final, end, spec.width)


def kind_view(
    layer: LayerSpec, width: int, letter: str, order: tuple[str, ...], elsewhere: str
) -> Kind:
    """Describe one kind of layer."""
    parts = [mixer_part_of(layer.mixer, width, "mixer", elsewhere)]
    if layer.cross is not None:
        parts += [mixer_part_of(layer.cross, width, "cross", elsewhere)]
    if layer.ffn is not None:
        parts += [ffn_part(layer.ffn, width)]
    branches = tuple(
        Sublayer(
            with_sides(part, layer.sides),
            before_row(layer, part.key),
            after_row(layer),
        )
        for part in parts
    )
    branches += tuple(Sublayer(part, None, None) for part in side_parts(layer.sides))
    indices = tuple(i for i, other in enumerate(order) if other == letter)
    return Kind(letter, layout_row(layer), branches, indices)


def keeping_nothing(kind: Kind) -> Kind:
    """A layer of a model that writes no text: nothing is kept for a next token."""
    branches = tuple(
        replace(
            branch,
            part=replace(
                branch.part,
                amounts=tuple(one for one in branch.part.amounts if one.key != "kept"),
            ),
        )
        for branch in kind.sublayers
    )
    return replace(kind, sublayers=branches)


def positions_elsewhere(spec: ModelSpec, layers: tuple[LayerSpec, ...]) -> str:
    """What an attention without positions of its own relies on."""
    for layer in layers:
        if isinstance(layer.mixer, AttentionSpec) and layer.mixer.relative_buckets:
            return "relative bias of the first layer"
    tables = spec.embeddings
    if tables.learned_positions or tables.sinusoidal is not None:
        return "positions enter with the embedding"
    return "no positions (NoPE)"


def order_text(order: tuple[str, ...]) -> str:
    """The order of the layers in few words.

    >>> order_text(tuple("AAABBBB")), order_text(tuple("AAB" * 3 + "A"))
    ('A × 3, then B × 4', '(A A B) × 3, then A')
    """
    runs = runs_of(order)
    if len(runs) <= 3:
        return ", then ".join(times_text(letter, n) for letter, n in runs)
    for skip in range(len(order)):
        rest = order[skip:]
        for period in range(1, len(rest) // 2 + 1):
            if all(rest[i] == rest[i % period] for i in range(len(rest))):
                return periodic_text(order[:skip], rest, period)
    return " ".join(order)


def periodic_text(before: tuple[str, ...], rest: tuple[str, ...], period: int) -> str:
    """Layers before a pattern, the pattern, and the part of it that is left."""
    whole = len(rest) // period
    said = [times_text(letter, n) for letter, n in runs_of(before)]
    said += [f"({' '.join(rest[:period])}) × {whole}"]
    left = rest[whole * period :]
    said += [times_text(letter, n) for letter, n in runs_of(left)]
    return ", then ".join(said)


def runs_of(order: tuple[str, ...]) -> list[tuple[str, int]]:
    """Equal neighbours together.

    >>> runs_of(tuple("AAB"))
    [('A', 2), ('B', 1)]
    """
    starts = [i for i in range(len(order)) if i == 0 or order[i] != order[i - 1]]
    ends = starts[1:] + [len(order)]  # noqa: RUF005 (no star is translated)
    return [(order[a], b - a) for a, b in zip(starts, ends, strict=False) if b > a]


def times_text(letter: str, count: int) -> str:
    """A letter, and how often it stands.

    >>> times_text("A", 1), times_text("B", 58)
    ('A', 'B × 58')
    """
    return letter if count == 1 else f"{letter} × {count}"
