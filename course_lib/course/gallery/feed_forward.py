"""Feed-forward networks and mixtures of experts (MoE) as rows."""

from collections.abc import Iterator

from course_lib.costs.feed_forward.dispatch import ffn_params, idle_params
from course_lib.course.gallery.rows import Amount, Part, Row, plural
from course_lib.specs.records import FFNSpec, MoESpec
from course_lib.specs.unions import of_record, of_word

GATED = {
    "silu": "SwiGLU",
    "gelu": "GeGLU",
    "gelu_new": "GeGLU (tanh)",
    "gelu_pytorch_tanh": "GeGLU (tanh)",
    "swiglu_clamped": "SwiGLU, clamped",
    "relu2": "gated squared ReLU",
    "relu": "ReGLU",
}
PLAIN = {
    "relu": "ReLU",
    "gelu": "GELU",
    "gelu_new": "GELU (tanh)",
    "gelu_pytorch_tanh": "GELU (tanh)",
    "quick_gelu": "quick GELU",
    "silu": "SiLU",
    "relu2": "squared ReLU",
}


def ffn_part(ffn: FFNSpec | MoESpec, width: int) -> Part:
    """A layer's feed-forward network, one or many.

    Raises:
        ValueError: naming the class of a record that is neither.
    """
    rows = of_record("ffn", ffn, {FFNSpec: dense_rows, MoESpec: moe_rows})
    total = sum(ffn_params(ffn, width).values())
    amounts = [Amount("params", "Parameters", total, "parameters")]
    idle = idle_params(ffn, width)
    if idle:
        active = total - idle
        amounts += [Amount("active", "Active per token", active, "parameters")]
    inner = ffn.expert.width if isinstance(ffn, MoESpec) else ffn.width
    shape = f"t×{width:,} → t×{inner:,} → t×{width:,}"
    return Part("ffn", "ffn", tuple(rows(ffn)), tuple(amounts), shape, ffn)


def network_text(ffn: FFNSpec) -> str:
    """A network by the field's name for it."""
    table = of_word("kind", ffn.kind, {"glu": GATED, "mlp": PLAIN, "channel_mix": {}})
    if ffn.kind == "channel_mix":
        return f"channel mixing, {ffn.activation}"
    unnamed = "gated " if ffn.kind == "glu" else ""
    return table.get(ffn.activation, f"{unnamed}{ffn.activation}")


def dense_rows(ffn: FFNSpec) -> Iterator[Row]:
    """The facts of one network."""
    yield Row("kind", "Feed-forward part", "Feed-forward network (FFN)")
    yield Row("activation", "Activation", network_text(ffn))
    yield Row("width", "FFN width", f"inner width {ffn.width:,}")
    if ffn.bias:
        yield Row("bias", "Biases", "with biases")


def moe_rows(moe: MoESpec) -> Iterator[Row]:
    """The facts of a mixture of experts."""
    yield Row("kind", "Feed-forward part", "Mixture of experts (MoE)")
    yield Row("experts", "Experts", f"{moe.experts} experts, top-{moe.top_k} a token")
    yield Row("activation", "Activation", f"experts: {network_text(moe.expert)}")
    yield Row("width", "Expert width", f"experts: inner width {moe.expert.width:,}")
    if moe.latent:
        yield Row("latent", "Latent", f"experts work on a latent of {moe.latent:,}")
    if moe.shared:
        shared = plural(moe.shared, "shared expert")
        yield Row("shared", "Shared experts", f"{shared}, {moe.shared_width:,} wide")
    if moe.shared_gate:
        yield Row("shared_gate", "Shared gate", "a gate on the shared expert")
    yield from router_rows(moe)
    if moe.expert.bias:
        yield Row("bias", "Biases", "experts with biases")


def router_rows(moe: MoESpec) -> Iterator[Row]:
    """How the router scores, picks and weighs the experts."""
    sums = ", renormalised" if moe.renormalise else ""
    yield Row("scoring", "Router", f"router: {moe.scoring}{sums}")
    if moe.scale != 1:
        yield Row("scale", "Scale of the weights", f"weights × {moe.scale:g}")
    if moe.groups > 1:
        best = f"from the best {moe.top_groups} of {moe.groups} groups"
        scores = {"top2": "", "max": ", each by its best expert"}
        by = of_word("group_score", moe.group_score, scores)
        yield Row("groups", "Expert groups", f"{best}{by}")
    if moe.sparse_mixer:
        among = f"weights among experts within {moe.sparse_mixer:g} of the best"
        yield Row("sparse_mixer", "SparseMixer", among)
    if moe.capacity:
        most = f"an expert takes {plural(moe.capacity, 'token')} of a row"
        yield Row("capacity", "Expert capacity", most)
    if moe.weigh_input:
        yield Row("weigh_input", "Weights act on", "weights on what an expert reads")
    if moe.router_bias:
        yield Row("router_bias", "Router bias", "router with bias")
    if moe.selection_bias:
        places = {"scores": "", "logits": ", added to logits"}
        where = of_word("bias_on", moe.bias_on, places)
        yield Row("balance", "Balancing", f"a balancing bias on the pick alone{where}")
