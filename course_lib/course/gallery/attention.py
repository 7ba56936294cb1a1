"""Softmax attention (MHA, GQA, MQA; sliding window, QK norm, output gate, sinks,
softcap, shared keys and values) as rows.
"""

from collections.abc import Iterator

from course_lib.costs.mixers.attention import key_value_elements
from course_lib.costs.mixers.dispatch import mixer_params, token_elements
from course_lib.course.gallery.positions import position_rows
from course_lib.course.gallery.rows import Amount, Part, Row, number_text, plural
from course_lib.specs.records import AttentionSpec
from course_lib.specs.unions import of_word

NORMED = {
    "none": "",
    "head": "RMSNorm per head",
    "width": "RMSNorm over all heads",
    "turned": "RMSNorm per head, behind RoPE",
    "length": "behind RoPE, nothing learned",
}
BYTES = 2  # of a cached or stored number, bf16


def attention_part(
    attention: AttentionSpec, width: int, key: str, elsewhere: str
) -> Part:
    """Attention of a stack over itself ("mixer"), or of a decoder over an encoder
    ("cross").
    """
    rows = tuple(attention_rows(attention, key == "cross", elsewhere))
    keys = "s" if key == "cross" else "t"
    shape = (
        f"q t×{attention.heads}×{attention.head_dim}  "
        f"kv {keys}×{attention.kv_heads}×{attention.head_dim}"
    )
    amounts = [
        Amount("params", "Parameters", mixer_params(attention, width), "parameters")
    ]
    if key == "cross":
        kept = key_value_elements(attention) * BYTES
        amounts += [Amount("kept", "Keeps", kept, "bytes per source token")]
    elif attention.causal:
        kept = token_elements(attention) * BYTES
        amounts += [Amount("kept", "Keeps", kept, "bytes per token")]
    return Part(key, "attention", rows, tuple(amounts), shape, attention)


def attention_rows(
    attention: AttentionSpec, cross: bool, elsewhere: str
) -> Iterator[Row]:
    """The facts of one softmax attention, the kind first."""
    if cross:
        yield Row("kind", "Cross-attention", "Cross-attention")
    else:
        yield Row("kind", "Token mixer", kind_text(attention))
    heads = plural(attention.heads, "query head")
    yield Row("heads", "Query heads", f"{heads} of {attention.head_dim}")
    yield Row("kv_heads", "KV heads", kv_text(attention))
    if attention.shared_kv:
        yield Row("shared_kv", "Keys and values", "keys and values in one projection")
    if attention.kept_apart:
        yield Row("kept_apart", "Cached", "keys and values cached apart")
    if attention.borrows_kv:
        borrowed = "keys and values of an earlier layer"
        yield Row("borrows_kv", "Keys and values from", borrowed)
    yield Row("mask", "Mask", mask_text(attention, cross))
    if attention.window is not None and cross:
        yield Row("window", "Window", f"within a window of {attention.window:,}")
    yield from position_rows(attention, "" if cross else elsewhere)
    yield from score_rows(attention)
    yield from bias_rows(attention)


def kind_text(attention: AttentionSpec) -> str:
    """The field's name for how heads share keys and values."""
    if attention.heads == attention.kv_heads:
        return "Multi-head attention (MHA)"
    if attention.kv_heads == 1:
        return "Multi-query attention (MQA)"
    return "Grouped-query attention (GQA)"


def kv_text(attention: AttentionSpec) -> str:
    """KV heads and their widths."""
    heads = plural(attention.kv_heads, "KV head")
    if attention.value_dim == attention.head_dim:
        return f"{heads} of {attention.head_dim}"
    return f"{heads}, keys {attention.head_dim}, values {attention.value_dim}"


def mask_text(attention: AttentionSpec, cross: bool) -> str:
    """What a token attends to."""
    if cross:
        return (
            f"attends to the encoder's output{', causal' if attention.causal else ''}"
        )
    if attention.causal and attention.window is not None and attention.chunked:
        return f"causal within chunks of {attention.window:,}"
    if attention.causal and attention.window is not None:
        return f"sliding window of {attention.window:,}, causal"
    if attention.causal:
        return "causal, attends to all before it"
    if attention.window is not None:
        return f"local window, ± {attention.window // 2:,}, of {attention.window:,}"
    return "bidirectional, attends to all tokens"


def score_rows(attention: AttentionSpec) -> Iterator[Row]:
    """What is done to queries, keys, scores and outputs besides the softmax."""
    where = of_word("qk_norm", attention.qk_norm, NORMED)
    if where:
        yield Row("qk_norm", "QK norm", f"QK norm: {where}")
    if attention.clip is not None:
        most = number_text(attention.clip)
        yield Row("clip", "Clip", f"queries, keys, values within ± {most}")
    if attention.temperature is not None:
        every, by = attention.temperature
        grows = f"queries × 1 + {by:g} ln(1 + position / {every:,})"
        yield Row("temperature", "Temperature", grows)
    if attention.scale is not None and unusual(attention.scale, attention.head_dim):
        yield Row("scale", "Scale of the scores", f"scores × {attention.scale:g}")
    if attention.softcap is not None:
        cap = number_text(attention.softcap)
        yield Row("softcap", "Softcap", f"softcap: scores within ± {cap}")
    if attention.sinks:
        yield Row("sinks", "Sinks", "attention sink: a learned logit a head")
    if attention.output_gate:
        yield Row("output_gate", "Output gate", "output gate: × sigmoid(W x)")


def unusual(scale: float, width: int) -> bool:
    """Whether a scale of the scores is another than width ** -0.5."""
    plain = width**-0.5
    return scale > plain * 1.000001 or scale < plain * 0.999999


def bias_rows(attention: AttentionSpec) -> Iterator[Row]:
    """Which projections have biases."""
    if attention.bias_qkv or attention.bias_out:
        both = attention.bias_qkv and attention.bias_out
        one = "q, k, v" if attention.bias_qkv else "output"
        text = "biases: q, k, v, output" if both else f"biases: {one}"
        yield Row("bias", "Biases", text)
