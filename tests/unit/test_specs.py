"""Published models: their sources, their figures, and what the loader refuses."""

import copy
import json
import pickle
import re
from dataclasses import FrozenInstanceError

import pytest

from course_lib.specs import list_specs, load_spec, spec_from_hf_config
from course_lib.specs.loader import load_release, read_entry
from course_lib.specs.provenance import Release
from course_lib.specs.records import AttentionSpec, MoESpec, SSMSpec

NAMED_IN_THE_GUIDE = {
    "gpt": ("2", "2-medium", "2-large", "2-xl", "3-175b"),
    "bert-": ("base", "large"),
    "llama-1-": ("7b", "13b", "33b", "65b"),
    "llama-2-": ("7b", "13b", "70b"),
    "llama-3-": ("8b", "70b"),
    "llama-3.1-": ("8b", "70b", "405b"),
    "qwen2-": ("0.5b", "1.5b", "7b", "72b"),
    "qwen2.5-": ("0.5b", "1.5b", "3b", "7b", "14b", "32b", "72b"),
    "qwen3-": ("8b", "32b", "235b-a22b"),
    "mistral-7b-": ("v0.1", "v0.3"),
    "mixtral-": ("8x7b", "8x22b"),
    "deepseek-": ("v2", "v3"),
    "gemma-": ("2-9b", "2-27b", "3-27b"),
    "gpt-oss-": ("20b", "120b"),
    "mamba": ("-2.8b", "2-2.7b"),
    "rwkv-4-": ("7b", "14b"),
    "": (
        "t5-base",
        "bart-large",
        "palm-540b",
        "glm-4.5",
        "jamba-v0.1",
        "olmoe-1b-7b",
        "vit-l-16",
        "clip-vit-l-14",
    ),
}


def mixers(name):
    return [layer.mixer for layer in load_spec(name).layers]


def test_the_list_holds_every_model_the_guide_names_and_is_sorted():
    named = {start + end for start, ends in NAMED_IN_THE_GUIDE.items() for end in ends}
    assert named <= set(list_specs())
    assert list(list_specs()) == sorted(list_specs())


@pytest.mark.parametrize("name", list_specs())
def test_every_figure_has_a_source_and_a_date(name):
    spec, entry = load_spec(name), read_entry(name)
    assert set(entry) - {"quantization_config"} == {"config", "published", "release", "sources"}
    covered = {figure for source in spec.sources for figure in source.covers}
    stated = {f"published.{key}" for key in ("total", "active") if getattr(spec.published, key) is not None}
    assert {"config"} | stated <= covered
    known = {"config", *stated, *(f"config.{field}" for field in entry["config"])}
    assert covered <= known
    for source in spec.sources:
        assert source.citation and source.url.startswith("https://")
        assert re.fullmatch(r"20\d\d-\d\d-\d\d", source.checked)
        assert source.seen in {"first-hand", "copy", "quoted"}


@pytest.mark.parametrize("name", list_specs())
def test_a_spec_is_named_frozen_hashable_and_survives_copies(name):
    spec = load_spec(name)
    assert spec.name == name
    with pytest.raises(FrozenInstanceError):
        spec.width = 1
    assert copy.deepcopy(spec) == spec == pickle.loads(pickle.dumps(spec))
    assert len({spec, copy.deepcopy(spec)}) == 1


def test_load_spec_adds_only_the_name_the_totals_and_the_sources():
    spec = load_spec("llama-3.1-8b")
    bare = spec_from_hf_config(read_entry("llama-3.1-8b")["config"])
    assert (bare.name, bare.published.total, bare.sources) == ("llama", None, ())
    assert (bare.layers, bare.embeddings, bare.context) == (spec.layers, spec.embeddings, spec.context)


def test_an_unknown_name_is_refused_with_the_nearest_ones():
    with pytest.raises(ValueError, match=r"name='lama-3-8b'.*llama-3-8b"):
        load_spec("lama-3-8b")


@pytest.mark.parametrize("name", ["", "../loader", "llama-3-8b.yml", "\N{SNOWMAN}"])
def test_a_name_is_never_taken_as_a_path(name):
    with pytest.raises(ValueError, match="no such model"):
        load_spec(name)


def test_llama_3_1_8b():
    spec = load_spec("llama-3.1-8b")
    mixer = spec.layers[0].mixer
    assert (spec.width, len(spec.layers), spec.vocab, spec.context) == (4096, 32, 128_256, 131_072)
    assert (mixer.heads, mixer.kv_heads, mixer.head_dim, mixer.value_dim) == (32, 8, 128, 128)
    assert (spec.layers[0].ffn.kind, spec.layers[0].ffn.width, spec.embeddings.tied) == ("glu", 14_336, False)
    assert (mixer.rope.theta, mixer.rope.scaling["rope_type"], mixer.rope.scaling["factor"]) == (
        5e5,
        "llama3",
        8.0,
    )


def test_windows_are_everywhere_in_mistral_v01_and_nowhere_in_v03():
    assert {mixer.window for mixer in mixers("mistral-7b-v0.1")} == {4096}
    assert {mixer.window for mixer in mixers("mistral-7b-v0.3")} == {None}


def test_gemma_2_alternates_and_gemma_3_has_five_windows_to_one():
    assert [mixer.window for mixer in mixers("gemma-2-9b")] == [4096, None] * 21
    assert [mixer.window for mixer in mixers("gemma-3-27b")] == ([1024] * 5 + [None]) * 10 + [1024] * 2


def test_gemma_3_windowed_layers_keep_the_short_rope():
    local, full = load_spec("gemma-3-27b").layers[0].mixer.rope, load_spec("gemma-3-27b").layers[5].mixer.rope
    assert (local.theta, local.scaling) == (1e4, None)
    assert (full.theta, dict(full.scaling)) == (1e6, {"rope_type": "linear", "factor": 8.0})


def test_gpt_oss_alternates_windows_and_has_sinks():
    assert [mixer.window for mixer in mixers("gpt-oss-20b")] == [128, None] * 12
    assert all(mixer.sinks and mixer.bias_qkv and mixer.bias_out for mixer in mixers("gpt-oss-20b"))


def test_deepseek_v3_caches_576_elements_and_starts_with_three_dense_layers():
    spec = load_spec("deepseek-v3")
    mixer = spec.layers[0].mixer
    assert mixer.kv_rank + mixer.rope_dim == 576
    assert [isinstance(layer.ffn, MoESpec) for layer in spec.layers] == [False] * 3 + [True] * 58
    # YaRN's temperature at factor 40, squared: (0.1 ln 40 + 1)^2 over sqrt(192).
    assert mixer.scale == pytest.approx(1.3688879454113936**2 / 192**0.5, rel=1e-12)


def test_jamba_has_four_attention_layers_and_sixteen_with_experts():
    layers = load_spec("jamba-v0.1").layers
    assert [i for i, layer in enumerate(layers) if isinstance(layer.mixer, AttentionSpec)] == [4, 12, 20, 28]
    assert sum(isinstance(layer.ffn, MoESpec) for layer in layers) == 16
    assert sum(isinstance(layer.mixer, SSMSpec) for layer in layers) == 28


def test_encoder_decoders_cross_only_in_the_decoder():
    for name in ("t5-base", "bart-large"):
        spec = load_spec(name)
        assert all(layer.cross is None and not layer.mixer.causal for layer in spec.encoder)
        assert all(layer.cross is not None and layer.mixer.causal for layer in spec.layers)


def test_t5_keeps_one_table_of_position_biases_a_stack():
    spec = load_spec("t5-base")
    for stack in (spec.encoder, spec.layers):
        assert [layer.mixer.relative_buckets for layer in stack] == [32] + [0] * 11


def test_vision_models_count_their_patches():
    assert load_spec("vit-l-16").context == 14 * 14 + 1
    assert load_spec("clip-vit-l-14").vision.context == 16 * 16 + 1


def test_a_config_may_be_a_path(tmp_path):
    path = tmp_path / "config.json"
    path.write_text(json.dumps(read_entry("olmoe-1b-7b")["config"]), encoding="utf-8")
    from_path, from_text = spec_from_hf_config(path), spec_from_hf_config(str(path))
    assert from_path == from_text == spec_from_hf_config(read_entry("olmoe-1b-7b")["config"])


@pytest.mark.parametrize("name", list_specs())
def test_a_published_model_has_a_name_a_series_and_a_date_with_its_source(name):
    """A day or a month; of a report on arXiv the month in its number; or none, where none was found."""
    release = load_release(name)
    assert release.name and release.series
    assert release.date is None or re.fullmatch(r"20[12]\d-(0[1-9]|1[0-2])(-\d\d)?", release.date)
    if number := re.search(r"arxiv\.org/abs/(\d\d)(\d\d)\.", release.url or ""):
        assert release.date == "20{}-{}".format(*number.groups()) and release.dates == "report"


def test_names_of_published_models_are_their_own_and_few_have_no_date():
    releases = [load_release(name) for name in list_specs()]
    assert len({release.name for release in releases}) == len(releases)
    assert [release.name for release in releases if release.date is None] == [
        "A.X K1", "flint", "GLM-5.1", "IQuest-Coder-V1 40B", "Jais 2 8B", "Llama 3.2 1B",
        "Llama 3.2 3B", "Llama 4 Maverick 17B-128E", "Ministral 3 3B", "Mistral 7B v0.3",
        "Nemotron 3 Nano 30B-A3B", "OLMo 3 32B", "OLMo 3 7B",
        "Phi-3.5 mini", "Qwen1.5-MoE-A2.7B", "Qwen3-Coder 480B-A35B",
    ]  # fmt: skip


def test_a_date_without_its_source_is_refused():
    with pytest.raises(ValueError, match="date='2024-01' of x: what it dates"):
        Release(name="x", series="x", date="2024-01", checked="2026-11-30")
