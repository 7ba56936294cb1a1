"""Normalisation and its place in a block, as rows."""

from course_lib.course.gallery.rows import Row
from course_lib.specs.records import LayerSpec, NormSpec
from course_lib.specs.unions import of_word

LAYOUTS = {
    "pre": "pre-norm",
    "post": "post-norm",
    "sandwich": "sandwich norm",
    "output": "norms on outputs",
    "stream": "norms on the stream",
    "parallel": "parallel residual, one norm",
    "parallel_two": "parallel residual, two norms",
}


def norm_text(norm: NormSpec) -> str:
    """The kind of a norm, and what is unusual about it.

    >>> norm_text(NormSpec(kind="rmsnorm", eps=1e-6, offset=1.0))
    'RMSNorm, gain 1 + w'
    """
    kind = of_word("kind", norm.kind, {"rmsnorm": "RMSNorm", "layernorm": "LayerNorm"})
    usual = norm.kind == "layernorm"
    bias = ", with bias" if norm.bias else ", no bias"
    gain = f", gain {norm.offset:g} + w" if norm.offset else ""
    gain = gain if norm.gain else f"{gain}, nothing learned"
    return f"{kind}{gain}{bias if norm.bias != usual else ''}"


def norm_row(norm: NormSpec, key: str, label: str) -> Row:
    """A norm at a place of its own."""
    return Row(key, label, norm_text(norm))


def layout_row(layer: LayerSpec) -> Row:
    """Where the norms of a block stand."""
    words = of_word("norm_layout", layer.norm_layout, LAYOUTS)
    factor = layer.residual_scale
    scaled = f", each part × {factor:g} before it is added" if factor != 1 else ""
    if layer.stream_factors is not None:
        a, b, c, d = (f"{one:g}" for one in layer.stream_factors)
        scaled += f", {a} x + {b} mixer, {c} x + {d} FFN"
    return Row("layout", "Norms of the block", f"{words}{scaled}")


def before_row(layer: LayerSpec, key: str) -> Row | None:
    """The norm that a part of a block reads through, or None where it reads the stream
    as it is, or through the norm of the part before it.
    """
    if layer.norm_layout in ("post", "output") or (
        key == "mixer" and not layer.mixer_norm
    ):
        return None
    if layer.norm_layout == "parallel" and key != "mixer":
        return None
    return norm_row(layer.norm, "before", "Norm before")


def after_row(layer: LayerSpec) -> Row | None:
    """The norm behind a part of a block, or None."""
    if layer.norm_layout in ("post", "sandwich", "output"):
        return norm_row(layer.norm, "after", "Norm after")
    return None
