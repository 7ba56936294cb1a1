"""Tensor names of hybrids of Mamba-2 and attention, theirs beside ours, in the form of
`decoder_names`: Bamba, Granite 4, Falcon-H1, Nemotron-H.

A table is made from the model's record: Nemotron-H numbers mixers and feed-forward
parts as layers of their own, so a block of ours has two of theirs, or one.

Terms:
    tensor names of Mamba-2 hybrids: which tensor of a Hugging Face hybrid holds which
        of ours, from the model's record -> HYBRID_TABLES
"""

from collections.abc import Callable, Iterator, Mapping

from course_lib.models.checkpoints.decoder_names import ATTENTION, Row, Table
from course_lib.models.checkpoints.moe_names import GRANITE
from course_lib.models.checkpoints.state_space_names import AT, MAMBA2, OURS
from course_lib.specs.records import ModelSpec, MoESpec, SSMSpec

LAYER = "model.layers.{i}"
STATE = {theirs.removeprefix(AT): ours.removeprefix(OURS) for theirs, ours in MAMBA2}
STATE = {theirs: ours for theirs, ours in STATE.items() if theirs.startswith(".")}
QKVO = {".q_proj": ".wq", ".k_proj": ".wk", ".v_proj": ".wv", ".o_proj": ".wo"}


def at(theirs: str, ours: str, names: Mapping[str, str]) -> Table:
    """Rows of a part whose tensors have these names in theirs and in ours."""
    return tuple((theirs + one, ours + other) for one, other in names.items())


FEED_FORWARD: Table = (
    ("model.embed_tokens", "embed.tokens"),
    ("model.final_layernorm", "final_norm"),
    ("lm_head", "head"),
    (f"{LAYER}.input_layernorm", "blocks.{i}.mixer_norm"),
    (f"{LAYER}.pre_ff_layernorm", "blocks.{i}.ffn_norm"),
    *at(
        f"{LAYER}.feed_forward",
        "blocks.{i}.ffn",
        {".gate_proj": ".gate", ".up_proj": ".up", ".down_proj": ".down"},
    ),
)
BAMBA = FEED_FORWARD + ATTENTION + at(f"{LAYER}.mamba", OURS, STATE)
FALCON_H1: Table = (
    *FEED_FORWARD,
    *at(f"{LAYER}.self_attn", f"{OURS}.mixers.0", QKVO),
    *at(f"{LAYER}.mamba", f"{OURS}.mixers.1", STATE),
)
GRANITE_HYBRID: Table = (
    *GRANITE,
    *at(f"{LAYER}.mamba", OURS, STATE),
    (f"{LAYER}.shared_mlp.input_linear", "blocks.{i}.ffn.{gate,up}", "stacked"),
    (f"{LAYER}.shared_mlp.output_linear", "blocks.{i}.ffn.down"),
)
NETWORK = {".up_proj": ".up", ".down_proj": ".down"}
MIXTURE = {
    ".gate": ".router.gate",
    ".gate.e_score_correction_bias": ".router.selection_bias",
    ".fc1_latent_proj": ".into_latent",
    ".fc2_latent_proj": ".out_of_latent",
    ".experts.up_proj": ".experts.up",
    ".experts.down_proj": ".experts.down",
    ".shared_experts.up_proj": ".shared.network.up",
    ".shared_experts.down_proj": ".shared.network.down",
}


def nemotron_h(spec: ModelSpec) -> Table:
    """Each block's mixer and, where there is one, its feed-forward part, numbered one
    after the other.

    >>> from course_lib.specs.loader import load_spec
    >>> rows = nemotron_h(load_spec("nemotron-3-nano-30b-a3b"))
    >>> [row for row in rows if row[1] == "blocks.1.mixer_norm"]
    [('model.layers.2.norm', 'blocks.1.mixer_norm')]
    """
    ends = {"model.embeddings": "embed.tokens", "model.norm_f": "final_norm"}
    return (*(ends | {"lm_head": "head"}).items(), *_parts(spec))


def _parts(spec: ModelSpec) -> Iterator[Row]:
    number = 0
    for index, layer in enumerate(spec.layers):
        parts = {"mixer": STATE if isinstance(layer.mixer, SSMSpec) else QKVO}
        if layer.ffn is not None:
            parts["ffn"] = MIXTURE if isinstance(layer.ffn, MoESpec) else NETWORK
        for part, names in parts.items():
            yield f"model.layers.{number}.norm", f"blocks.{index}.{part}_norm"
            yield from at(
                f"model.layers.{number}.mixer", f"blocks.{index}.{part}", names
            )
            number += 1


HYBRID_TABLES: Mapping[str, Callable[[ModelSpec], Table]] = {
    "bamba": lambda spec: BAMBA,
    "falcon_h1": lambda spec: FALCON_H1,
    "granitemoehybrid": lambda spec: GRANITE_HYBRID,
    "nemotron_h": nemotron_h,
}
"""From a model's record to its table."""
