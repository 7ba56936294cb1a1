"""Every fact of a published model is in a row: a changed field changes one, or is named as not drawn."""

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from functools import cache
from itertools import combinations
from typing import Any, get_args, get_type_hints

import pytest

from course_lib.costs import cache_bytes_per_token, param_count
from course_lib.course.gallery.describe import describe, stacks_of
from course_lib.course.gallery.differences import NOTHING, differences
from course_lib.course.gallery.facts import facts, sentence
from course_lib.course.gallery.matching import matched
from course_lib.course.gallery.rows import Row, View
from course_lib.course.gallery.script import script
from course_lib.specs.frozen import FrozenMapping
from course_lib.specs.loader import list_specs, load_spec
from course_lib.specs.records import (
    AttentionSpec,
    EmbeddingSpec,
    FFNSpec,
    GatedDeltaNetSpec,
    IndexerSpec,
    KimiDeltaSpec,
    LatentAttentionSpec,
    LayerSpec,
    ModelSpec,
    MoESpec,
    NormSpec,
    PatchSpec,
    RopeSpec,
    RWKVSpec,
    SideSpec,
    SSMSpec,
    TransformSpec,
)
from tests.javascript import READER, run, static

NOT_DRAWN = {
    ("ModelSpec", "name"): "it names the model, and is not a fact of it",
    ("ModelSpec", "family"): "it says which parser read the config",
    ("ModelSpec", "counted"): "it says which class the config names, which the head shows",
    (
        "ModelSpec",
        "quantisation",
    ): "it says how the file stores the weights, and is no part of the architecture",
    ("Quantisation", "method"): "as above",
    ("Quantisation", "bits"): "as above",
    ("Quantisation", "kept"): "as above",
    ("Quantisation", "experts_only"): "as above",
    ("Quantisation", "head"): "as above",
    ("Published", "total"): "what the authors state stands beside the picture",
    ("Published", "active"): "what the authors state stands beside the picture",
    ("Published", "active_leaves_out"): "what the authors state stands beside the picture",
    ("NormSpec", "eps"): "a number against division by zero, no part of the architecture",
    ("SideSpec", "place"): "where a fixed factor is built; the side's words say it",
    ("SideSpec", "factor"): "the same number stands in the side's words",
    ("GatedDeltaNetSpec", "norm_eps"): "the same, of the norm on its output",
}
NAMES = list_specs()
NORM = NormSpec(kind="layernorm", eps=1e-5, bias=True)
FFN = FFNSpec(kind="mlp", activation="relu", width=7)
ROPE = RopeSpec(theta=12345.0, dim=2)
FILLED = {
    "indexer": IndexerSpec(heads=2, head_dim=4, top_k=3), "decay_rank": 3, "gate_rank": 3,
    "window": 77, "rope": ROPE, "softcap": 3.5, "scale": 0.123, "q_rank": 55, "dt_rank": 3, "heads": 2,
    "head_dim": 6, "groups": 2, "norm": NORM, "final_norm": NORM, "logit_softcap": 2.5, "context": 99,
    "scaling": {"rope_type": "linear", "factor": 2.0}, "sinusoidal": "halves", "ffn": FFN,
    "transform": TransformSpec(activation="gelu", norm=NORM), "patches": PatchSpec(image=8, patch=4),
    "stream_factors": (0.5, 1.5, 0.7, 1.2), "norm_eps": 0.5,
    "inner_norm": NORM, "clip": 8.0, "temperature": (512, 0.3),
    "cross": AttentionSpec(heads=2, kv_heads=1, head_dim=4, value_dim=4),
}  # fmt: skip
"""What a field that may be empty is filled with."""


MASKED = ", masked head"
CHANGED = (*NAMES, "bert-base" + MASKED)  # no published model has a transform before its head


@cache
def view(name: str) -> View:
    return describe(load_spec(name))


def texts(spec: ModelSpec) -> dict[str, Row]:
    """The rows of a model, whatever it costs."""
    return facts(View(spec.name, tuple(stacks_of(spec)), ()))


def short(name: str) -> ModelSpec:
    """A model with each kind of layer once, so that a thousand changes are described in a second."""
    spec = load_spec(name.removesuffix(MASKED))
    if name.endswith(MASKED):
        spec = replace(spec, head="mlm", transform=TransformSpec(activation="gelu", norm=NORM))
    layers, encoder = (tuple(dict.fromkeys(stack)) for stack in (spec.layers, spec.encoder))
    return replace(spec, layers=layers, encoder=encoder)


def others(record: object, name: str, value: Any) -> Iterator[Any]:
    """Other values of a field: one that is built alike, and what an option may be instead."""
    hint = get_type_hints(type(record))[name]
    words = [word for one in get_args(hint) for word in (get_args(one) or (one,)) if isinstance(word, str)]
    if words:
        yield from (word for word in words if word != value)
    elif isinstance(value, bool):
        yield not value
    elif value is None:
        yield from [FILLED[name]] if name in FILLED else []
    elif isinstance(value, int):
        yield value * 2 if value else 3
    elif isinstance(value, float):
        yield value * 1.5 + 0.25
    elif isinstance(value, str):
        yield value + "x"
    elif isinstance(value, Mapping):
        for option, found in value.items():
            yield dict(value) | {option: other_option(found)}
    elif name == "sides":
        of = "block" if isinstance(record, LayerSpec) else "model"
        yield () if value else (SideSpec(words="a gate", of=of),)
    elif isinstance(value, tuple) and value and isinstance(value[0], str):
        yield value[:-1]
    elif isinstance(value, tuple) and value and isinstance(value[0], LayerSpec):
        yield value[:-1] if len(value) > 1 else value * 2


def other_option(value: Any) -> Any:
    """Another value of an option of a context extension."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value * 2 + 1
    return tuple(one * 2 for one in value) if isinstance(value, list | tuple) else f"{value}x"


def changes(record: object) -> Iterator[tuple[tuple[str, str], object]]:
    """Every record that differs from this one in one field, at any depth, under the field's name."""
    if isinstance(record, SSMSpec):  # the other kind costs something by its own sizes
        sizes = {
            name: getattr(record, name) or FILLED[name] for name in ("dt_rank", "heads", "head_dim", "groups")
        }
        other = "mamba1" if record.kind == "mamba2" else "mamba2"
        yield ("SSMSpec", "kind"), replace(record, kind=other, **sizes)
    for field in fields(record):
        value, where = getattr(record, field.name), (type(record).__name__, field.name)
        if where == ("SSMSpec", "kind") or idle(record, field.name):
            continue
        for other in others(record, field.name, value):
            try:
                yield where, replace(record, **{field.name: freeze(other)})
            except ValueError:  # a number of heads that the groups do not divide, and the like
                continue
        if is_dataclass(value):
            for inner, changed in changes(value):
                try:
                    yield inner, replace(record, **{field.name: changed})
                except ValueError:
                    continue
        elif isinstance(value, tuple):
            for layer in dict.fromkeys(one for one in value if isinstance(one, LayerSpec | SideSpec)):
                for inner, changed in changes(layer):
                    swapped = tuple(changed if one == layer else one for one in value)
                    yield inner, replace(record, **{field.name: swapped})


def freeze(value: Any) -> Any:
    return FrozenMapping(value) if isinstance(value, dict) else value


def idle(record: object, name: str) -> bool:
    """Whether a field says nothing beside the others of its record."""
    match record:
        case AttentionSpec(relative_buckets=0) if name == "relative_max_distance":
            return True
        case AttentionSpec(rope=RopeSpec()) if name == "alibi":
            return True
        case LayerSpec(norm_layout="post" | "output") if name == "mixer_norm":
            return True
        case MoESpec(shared=0) if name in ("shared", "shared_width"):
            return True
        case MoESpec(selection_bias=False) if name == "bias_on":
            return True
        case MoESpec(groups=1) if name in ("top_groups", "group_score"):
            return True
        case SSMSpec(heads=None) if name == "head_dim":
            return True
        case EmbeddingSpec(learned_positions=0) if name == "position_offset":
            return True
        case ModelSpec(patches=PatchSpec()) if name == "vocab":
            return True
        case ModelSpec(head="none") if name == "outputs":
            return True
    return False


OF_LOGITS = {"head_bias", "head_shift", "tied", "logit_scale", "logit_softcap", "transform"}


def counts(where: tuple[str, str], spec: ModelSpec) -> bool:
    """Whether a field is drawn in this model: what is done to logits is, where it has any."""
    if where[1] == "outputs_bias":
        return spec.head in ("classifier", "token_classifier")
    of_head = where[1] in OF_LOGITS or where[0] == "TransformSpec"
    return where not in NOT_DRAWN and not (of_head and spec.head not in ("lm", "mlm"))


@pytest.mark.parametrize("name", CHANGED)
def test_a_changed_field_changes_a_row(name):
    """Of every record of every published model, each field in turn."""
    spec = short(name)
    before, silent = texts(spec), []
    for where, changed in changes(spec):
        if counts(where, spec) and texts(changed) == before:
            silent.append(where)
    assert sorted(set(silent)) == []


def test_what_is_not_drawn_changes_no_row():
    seen = set()
    # the second file is quantised, the last model has side parts
    names = "mixtral-8x7b", "gpt-oss-20b", "qwen3-next-80b-a3b", "mimo-v2-flash"
    for spec in map(short, names):
        same = ((where, texts(changed) == texts(spec)) for where, changed in changes(spec))
        seen |= {where for where, alike in same if where in NOT_DRAWN and alike}
    by_depth = {("ModelSpec", "published"), ("ModelSpec", "sources"), ("ModelSpec", "quantisation")}
    assert seen == set(NOT_DRAWN) - by_depth


def test_every_field_of_every_record_is_tried():
    """So that a new field cannot pass by: each is changed in some published model, or here."""
    tried = {where for name in CHANGED for where, _ in changes(short(name))}
    records = (
        AttentionSpec, EmbeddingSpec, FFNSpec, GatedDeltaNetSpec, IndexerSpec, KimiDeltaSpec,
        LatentAttentionSpec, LayerSpec, ModelSpec, MoESpec, NormSpec, PatchSpec, RopeSpec, RWKVSpec, SideSpec,
        SSMSpec, TransformSpec,
    )  # fmt: skip
    known = {(record.__name__, field.name) for record in records for field in fields(record)}
    by_depth = {
        ("LayerSpec", "mixer"),
        ("LayerSpec", "norm"),
        ("ModelSpec", "embeddings"),
        ("ModelSpec", "vision"),
    }
    by_depth |= {("LatentAttentionSpec", "rope"), ("LatentAttentionSpec", "norm"), ("MoESpec", "expert")}
    by_depth |= {("TransformSpec", "norm"), ("ModelSpec", "published"), ("ModelSpec", "sources")}
    by_depth |= {("ModelSpec", "beside"), ("ModelSpec", "quantisation")}
    assert sorted(known - tried - by_depth) == []


@pytest.mark.parametrize("name", NAMES)
def test_a_row_has_its_own_key_and_words(name):
    rows = [(key, row) for stack in view(name).stacks for key, row in facts(View(name, (stack,), ())).items()]
    assert len(dict(rows)) == len(rows) == len(facts(view(name)))
    assert [key for key, row in rows if not row.text or not row.label] == []
    for stack in view(name).stacks:
        assert sentence(stack).count("None") == 0


@pytest.mark.parametrize("name", NAMES)
def test_amounts_are_the_cost_functions(name):
    spec = load_spec(name)
    found = {amount.key: amount.value for amount in view(name).amounts}
    assert found["total"] == param_count(spec).total
    assert found.get("active", found["total"]) == param_count(spec).active
    if spec.head == "lm":
        assert found.get("cache", 0) == cache_bytes_per_token(spec)


def test_the_parts_of_a_decoder_sum_to_its_parameters():
    spec = load_spec("qwen3.5-35b-a3b")
    [stack] = view(spec.name).stacks
    norms = param_count(spec).by_part["norm"]
    per_kind = [
        len(kind.indices) * sum(branch.part.amounts[0].value for branch in kind.sublayers)
        for kind in stack.kinds
    ]
    ends = stack.start.amounts[0].value + stack.end.amounts[0].value
    assert sum(per_kind) + ends + norms == param_count(spec).total


def test_models_that_are_built_alike_are_found_alike():
    """These pairs of published models have the same architecture; all others differ in some row."""
    equal = [pair for pair in combinations(NAMES, 2) if not differences(*map(view, pair))]
    assert equal == [
        ("glm-5", "glm-5.1"),
        ("qwen2-1.5b", "qwen2.5-1.5b"),
        ("qwen2-72b", "qwen2.5-72b"),
        ("qwen2-7b", "qwen2.5-7b"),
    ]


@pytest.mark.parametrize(
    "pair", [("llama-3.1-8b", "qwen3-8b"), ("mixtral-8x7b", "deepseek-v3"), ("t5-base", "gpt2")]
)
def test_differences_turned_round_are_the_same(pair):
    there = {(one.label, one.left, one.right) for one in differences(*map(view, pair))}
    back = {(one.label, one.right, one.left) for one in differences(*map(view, reversed(pair)))}
    assert there == back
    for one in differences(*map(view, pair)):
        for (key, other), text in ((pair_, (one.left, one.right)) for pair_ in one.keys):
            assert (key == "") == (text[0] == NOTHING)
            assert (other == "") == (text[1] == NOTHING)


def test_a_difference_is_a_cause():
    """Another width makes other counts, bytes and shapes: it is one difference."""
    spec = load_spec("llama-3-8b")
    [one] = differences(describe(spec), describe(replace(spec, width=2048)))
    assert (one.label, one.left, one.right, one.where) == (
        "Model width",
        "width 4,096",
        "width 2,048",
        ("model",),
    )


def test_one_fact_at_several_places_is_one_difference():
    spec = load_spec("gemma-3-27b")
    changed = tuple(replace(layer, mixer=replace(layer.mixer, softcap=30.0)) for layer in spec.layers)
    [one] = differences(describe(spec), describe(replace(spec, layers=changed)))
    assert (one.where, one.keys) == (
        ("layer A", "layer B"), (("", "model/A/mixer/softcap"), ("", "model/B/mixer/softcap")),
    )  # fmt: skip


def test_kinds_of_layers_are_matched_by_what_they_hold():
    """Mixtral's only kind has experts, and so has DeepSeek's second."""
    left, right = (view(name).stacks[0].kinds for name in ("mixtral-8x7b", "deepseek-v3"))
    letters = [tuple(kind.letter if kind else "" for kind in pair) for pair in matched(left, right)]
    assert letters == [("A", "B"), ("", "A")]


PAIRS = [
    ("gpt2", "llama-3.1-8b"),
    ("mixtral-8x7b", "deepseek-v3"),
    ("mamba-2.8b", "jamba-v0.1"),
    ("t5-base", "bert-base"),
]
ON_THE_PAGE = """const { spec, describe, facts, differences, configs } = globalThis.courseGallery;
    const { parse } = globalThis.calculatorJson;
    const plain = (n) => (n instanceof globalThis.calculatorPython.Float ? n.value : n);
    const made = (name) => describe(spec(parse(configs[name])));
    const row = ([key, { label, text }]) => [key, label, text];
    return {
        facts: data.names.map((name) => [...facts(made(name))].map(row)),
        amounts: data.names.map((name) => [...made(name).amounts].map(({ key, value }) => [key, plain(value)])),
        pairs: data.pairs.map(([a, b]) => [...differences(made(a), made(b))].map(
            ({ label, left, right, where, keys }) => [label, left, right, [...where], [...keys].map((pair) => [...pair])])),
    };"""  # noqa: E501


def test_a_page_describes_a_config_as_the_library_does():
    """The same rows, amounts and differences, from the same code, translated."""
    found = run(ON_THE_PAGE, {"names": NAMES, "pairs": PAIRS}, *map(static, READER), script())
    for name, rows, amounts in zip(NAMES, found["facts"], found["amounts"], strict=True):
        assert rows == [[key, row.label, row.text] for key, row in facts(view(name)).items()], name
        assert amounts == [[amount.key, amount.value] for amount in view(name).amounts], name
    for pair, one in zip(PAIRS, found["pairs"], strict=True):
        expected = differences(*map(view, pair))
        assert one == [[d.label, d.left, d.right, [*d.where], [[*keys] for keys in d.keys]] for d in expected]
