"""Loading a checkpoint: every tensor finds its place, or the load is refused by name."""

import dataclasses

import pytest
import torch

from course_lib.models.checkpoints import weights
from course_lib.models.checkpoints.layer_kinds import KINDS, is_of_kind, only
from course_lib.models.checkpoints.qkv_packing import PACKINGS
from course_lib.models.checkpoints.weights import hf_tensors, load_hf_weights, packed_tensors
from course_lib.models.lm import CausalLM
from course_lib.specs.records import (
    AttentionSpec,
    FFNSpec,
    GatedDeltaNetSpec,
    LayerSpec,
    ModelSpec,
    NormSpec,
    ShortConvSpec,
)
from tests.unit.test_lm import spec_of

THEIR_LAYER = [f"self_attn.{part}_proj" for part in "qkvo"]
THEIR_LAYER += [f"mlp.{part}_proj" for part in ("gate", "up", "down")]
THEIR_LAYER += ["input_layernorm", "post_attention_layernorm"]
THEIR_NAMES = ["model.embed_tokens.weight", "model.norm.weight", "lm_head.weight"]
THEIR_NAMES += [f"model.layers.{i}.{part}.weight" for i in range(3) for part in THEIR_LAYER]
BUFFERS = ["model.layers.0.self_attn.rotary_emb.inv_freq"]


def checkpoint(model: CausalLM) -> dict[str, torch.Tensor]:
    return {name: torch.randn_like(tensor) for name, tensor in hf_tensors(model).items()}


def test_their_names_are_these():
    assert set(hf_tensors(CausalLM(spec_of()))) == set(THEIR_NAMES)


def test_every_tensor_is_copied_and_comes_back():
    model = CausalLM(spec_of())
    theirs = checkpoint(model)
    load_hf_weights(model, theirs)
    back = hf_tensors(model)
    assert back.keys() == theirs.keys()
    assert all(torch.equal(back[name], tensor) for name, tensor in theirs.items())
    assert torch.equal(model.blocks[2].mixer.wk.weight, theirs["model.layers.2.self_attn.k_proj.weight"])


def test_buffers_of_older_checkpoints_are_passed_over():
    model = CausalLM(spec_of())
    load_hf_weights(model, checkpoint(model) | {name: torch.zeros(3) for name in BUFFERS})
    assert not any("inv_freq" in name for name in hf_tensors(model))


def test_a_checkpoint_of_the_bare_stack_leaves_the_prefix_out():
    model = CausalLM(spec_of(tie_word_embeddings=True))
    theirs = checkpoint(model)
    load_hf_weights(model, {name.removeprefix("model."): tensor for name, tensor in theirs.items()})
    assert torch.equal(model.embed.tokens.weight, theirs["model.embed_tokens.weight"])


def test_a_tied_head_needs_no_tensor_of_its_own():
    model = CausalLM(spec_of(tie_word_embeddings=True))
    theirs = checkpoint(model)
    assert "lm_head.weight" not in theirs
    load_hf_weights(model, theirs)
    assert torch.equal(model.head.weight, theirs["model.embed_tokens.weight"])


def test_a_tied_head_may_come_as_a_copy_but_not_as_another():
    model = CausalLM(spec_of(tie_word_embeddings=True))
    theirs = checkpoint(model)
    load_hf_weights(model, {"lm_head.weight": theirs["model.embed_tokens.weight"].clone()} | theirs)
    assert torch.equal(model.head.weight, theirs["model.embed_tokens.weight"])
    with pytest.raises(ValueError, match=r"lm_head\.weight differs"):
        load_hf_weights(model, {"lm_head.weight": theirs["model.embed_tokens.weight"] + 1} | theirs)


@pytest.mark.parametrize("name", THEIR_NAMES[:4])
def test_a_missing_tensor_is_named(name):
    model = CausalLM(spec_of())
    theirs = checkpoint(model)
    theirs.pop(name)
    with pytest.raises(ValueError, match=f"{name}: missing"):
        load_hf_weights(model, theirs)


def test_an_unknown_tensor_is_named():
    model = CausalLM(spec_of())
    extra = {"model.layers.0.self_attn.q_proj.bias": torch.zeros(24)}
    with pytest.raises(ValueError, match=r"model.layers.0.self_attn.q_proj.bias: unknown"):
        load_hf_weights(model, checkpoint(model) | extra)


def test_another_shape_is_named():
    model = CausalLM(spec_of())
    with pytest.raises(ValueError, match=r"model.norm.weight has shape \(9,\), not \(12,\)"):
        load_hf_weights(model, checkpoint(model) | {"model.norm.weight": torch.zeros(9)})


def test_a_family_without_names_is_refused():
    model = CausalLM(dataclasses.replace(spec_of(), family="palm"))
    with pytest.raises(ValueError, match="family='palm': names are known for afmoe,"):
        hf_tensors(model)


def test_a_parameter_without_a_name_is_refused():
    model = CausalLM(dataclasses.replace(spec_of(), family="gptj"))
    with pytest.raises(ValueError, match=r"gptj: no name is known for blocks\.0\.ffn\.gate\.weight"):
        packed_tensors(model)


def test_key_heads_lie_query_key_values_gates_one_after_the_other():
    owner = torch.nn.Module()
    owner.key_heads = 2
    parts = torch.arange(2.0), torch.arange(10.0, 12), torch.arange(20.0, 24), torch.arange(30.0, 34)
    joined = PACKINGS["by_key_head"].join(parts, owner)  # widths of 1, two value heads a key head
    assert joined.tolist() == [0, 10, 20, 21, 30, 31, 1, 11, 22, 23, 32, 33]


VECTORS = ("first_axis", "third_axis", "last_axis")  # layouts of vectors, each of one tensor
TOY = {"name": "toy", "family": "llama", "width": 8, "vocab": 5}


def hybrid() -> CausalLM:
    """A short convolution, attention, a delta rule: all with `wo`, two with `wq`."""
    norm = NormSpec(kind="rmsnorm", eps=1e-6)
    heads = {"heads": 2, "kv_heads": 1, "head_dim": 4, "value_dim": 4}
    delta = GatedDeltaNetSpec(key_heads=1, value_heads=2, key_dim=3, value_dim=4, conv=2)
    mixers = ShortConvSpec(conv=3), AttentionSpec(**heads), delta
    ffn = FFNSpec(kind="glu", activation="silu", width=6)
    layers = tuple(LayerSpec(mixer=mixer, ffn=ffn, norm=norm) for mixer in mixers)
    return CausalLM(ModelSpec(layers=layers, **TOY, final_norm=norm))


def test_a_row_counts_in_the_layers_of_its_kind_alone():
    model, name = hybrid(), "blocks.{}.mixer.wo.weight"
    for index, kind in enumerate(("convolution", "attention", "delta")):
        held = [one for one in KINDS if is_of_kind(model, name.format(index), one)]
        assert held == [kind]
    assert not any(is_of_kind(model, "final_norm.weight", one) for one in KINDS)


def test_one_parameter_has_another_name_in_each_kind_of_layer(monkeypatch):
    model = hybrid()
    named = {"convolution": "conv.out", "attention": "self_attn.o_proj", "delta": "linear_attn.out"}
    rows = [
        row
        for kind, theirs in named.items()
        for row in only(kind, [(f"model.layers.{{i}}.{theirs}", "blocks.{i}.mixer.wo")])
    ]
    rest = {name.rsplit(".", 1)[0] for name, _ in model.named_parameters() if "mixer.wo" not in name}
    rest |= {"blocks.2.mixer.rate", "blocks.2.mixer.step"}
    table = (*rows, *((name, name) for name in sorted(rest)))
    monkeypatch.setattr(weights, "table_of", lambda _: table)
    found = {
        piece.theirs: piece.ours for piece in packed_tensors(model) if "mixer.wo.weight" in piece.ours[0]
    }
    assert found == {
        f"model.layers.{index}.{theirs}.weight": (f"blocks.{index}.mixer.wo.weight",)
        for index, theirs in enumerate(named.values())
    }


def test_an_unknown_kind_of_layer_is_refused():
    with pytest.raises(ValueError, match="kind='rnn': allowed are attention, convolution, delta"):
        only("rnn", [])


@pytest.mark.parametrize(
    ("layout", "shape"),
    [
        (layout, shape)
        for layout in PACKINGS
        for shape in ((5,), (5, 3))
        if shape == (5,) or layout not in VECTORS
    ],
)
def test_a_layout_undoes_itself(layout, shape):
    owner = torch.nn.Module()
    owner.kv_heads = owner.heads = owner.key_heads = 2
    counts = [12] if layout in ("same", *VECTORS) else [12, 4, 4]
    parts = [torch.randn(rows, *shape[1:]) for rows in counts]
    back = PACKINGS[layout].split(PACKINGS[layout].join(parts, owner), counts, owner)
    assert len(back) == len(parts)
    assert all(torch.equal(one, other) for one, other in zip(back, parts, strict=True))


def test_groups_lie_queries_key_value_one_after_the_other():
    owner = torch.nn.Module()
    owner.kv_heads = 2
    queries, keys, values = torch.arange(4.0), torch.arange(10.0, 12), torch.arange(20.0, 22)
    joined = PACKINGS["grouped"].join([queries, keys, values], owner)  # heads of width 1, two a group
    assert joined.tolist() == [0, 1, 10, 20, 2, 3, 11, 21]
