"""Positions in attention (RoPE and its scaling, ALiBi, relative bias, NoPE) as rows."""

from collections.abc import Iterator

from course_lib.course.gallery.rows import Row, number_text
from course_lib.specs.records import AttentionSpec, RopeSpec
from course_lib.specs.unions import of_word

PAIRINGS = {"rotate_half": "", "interleaved": "RoPE turns neighbours (interleaved)"}
SHORT = {
    "attention_factor": "scale",
    "beta_fast": "fast",
    "beta_slow": "slow",
    "high_freq_factor": "high factor",
    "low_freq_factor": "low factor",
    "mrope_interleaved": "interleaved",
    "mrope_section": "sections",
    "original_max_position_embeddings": "from",
    "partial_rotary_factor": "share",
}
"""Short names of the options of a context extension, where a figure has no room."""


def rope_rows(rope: RopeSpec, whole: int) -> Iterator[Row]:
    """Rotary positions of a head of `whole` elements, and how their context is
    extended.
    """
    turned = "" if rope.dim == whole else f" on {rope.dim} of {whole}"
    text = f"RoPE, base {number_text(rope.theta)}{turned}"
    yield Row("position", "Positions", text)
    pairs = of_word("pairing", rope.pairing, PAIRINGS)
    if pairs:
        yield Row("pairing", "RoPE pairing", pairs)
    if rope.scaling is not None:
        yield from scaling_rows(rope)


def scaling_rows(rope: RopeSpec) -> Iterator[Row]:
    """The options of a context extension: its kind and factor, then the rest."""
    options = rope.scaling
    kind, factor = options.get("rope_type", "default"), options.get("factor")
    times = "" if factor is None else f" × {factor:g}"
    yield Row("rope_scaling", "RoPE scaling", f"RoPE scaling: {kind}{times}")
    rest = [name for name in sorted(options) if name not in ("rope_type", "factor")]
    if rest:
        said = ", ".join(
            f"{SHORT.get(name, name)} {option_text(options[name])}" for name in rest
        )
        yield Row("rope_options", "RoPE scaling options", said)


def option_text(value: object) -> str:
    """The value of one option.

    >>> option_text(8192), option_text((11, 11, 10)), option_text(True)
    ('8,192', '11 11 10', 'yes')
    """
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return number_text(value)
    if isinstance(value, list | tuple):
        return " ".join(option_text(one) for one in value)
    return f"{value}"


def position_rows(attention: AttentionSpec, elsewhere: str) -> Iterator[Row]:
    """Positions of a softmax attention; `elsewhere` says what a layer without its own
    relies on, "" that it needs none.
    """
    if attention.rope is not None:
        yield from rope_rows(attention.rope, attention.head_dim)
    elif attention.alibi:
        yield Row("position", "Positions", "ALiBi: scores fall with distance")
    elif elsewhere and not attention.relative_buckets:
        yield Row("position", "Positions", elsewhere)
    if attention.relative_buckets:
        most = attention.relative_max_distance
        reach = f"{attention.relative_buckets} buckets to {most:,}"
        yield Row("relative", "Relative bias", f"learned relative bias, {reach}")
