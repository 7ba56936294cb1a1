"""Checkpoint folders both ways: what they save we load, and what we save they load."""

from dataclasses import replace

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    DeepseekV3Config,
    DeepseekV3ForCausalLM,
    Gemma2Config,
    Gemma2ForCausalLM,
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    LlamaConfig,
    LlamaForCausalLM,
    Ministral3Config,
    Ministral3ForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
    SmolLM3Config,
    SmolLM3ForCausalLM,
)

from course_lib.models.checkpoints.decoder_names import TABLES
from course_lib.models.checkpoints.files import INDEX, load_checkpoint, save_checkpoint
from tests.parity import test_decoders, test_deepseek
from tests.parity.against_transformers import Pair

SIZES = {"hidden_size": 18, "intermediate_size": 23, "num_hidden_layers": 3, **test_decoders.ENDS}
HEADS = {"num_attention_heads": 6, "num_key_value_heads": 2, "head_dim": 10}
LLAMA_LINE = SIZES | HEADS
LATENT = test_deepseek.SIZES | test_decoders.ENDS
GROWING = {
    "rope_type": "default",
    "rope_theta": 50.0,
    "llama_4_scaling_beta": 0.3,
    "original_max_position_embeddings": 4,
}
MODELS = {
    name: (model_class, config_class, sizes | changes)
    for name, (model_class, config_class, sizes, changes) in test_decoders.MODELS.items()
} | {
    "deepseek-v3": (DeepseekV3ForCausalLM, DeepseekV3Config, LATENT),
    "gemma2": (Gemma2ForCausalLM, Gemma2Config, LLAMA_LINE),
    "gemma3": (Gemma3ForCausalLM, Gemma3TextConfig, LLAMA_LINE | {"use_bidirectional_attention": False}),
    "llama": (LlamaForCausalLM, LlamaConfig, LLAMA_LINE),
    "ministral3": (Ministral3ForCausalLM, Ministral3Config, LLAMA_LINE | {"rope_parameters": GROWING}),
    "mistral": (MistralForCausalLM, MistralConfig, LLAMA_LINE | {"sliding_window": 5}),
    "qwen2": (Qwen2ForCausalLM, Qwen2Config, LLAMA_LINE | {"tie_word_embeddings": True}),
    "qwen3": (Qwen3ForCausalLM, Qwen3Config, LLAMA_LINE),
    "smollm3": (SmolLM3ForCausalLM, SmolLM3Config, LLAMA_LINE | {"pad_token_id": 0}),
}


@pytest.fixture(params=MODELS, scope="module")
def pair(request) -> Pair:
    model_class, config_class, fields = MODELS[request.param]
    return Pair(config_class(**fields), model_class)


def small(**changes) -> Pair:
    return Pair(LlamaConfig(**LLAMA_LINE | changes), LlamaForCausalLM)


@pytest.mark.parametrize("shard", [None, "9KB"])
def test_we_load_what_they_save(pair, tmp_path, shard):
    pair.theirs.save_pretrained(tmp_path, **({} if shard is None else {"max_shard_size": shard}))
    assert (tmp_path / INDEX).exists() == (shard is not None)
    loaded, tokens = load_checkpoint(tmp_path), pair.tokens(2, 9)
    assert loaded.head.weight.dtype == torch.float64
    assert replace(loaded.spec, counted="") == replace(pair.spec, counted="")
    with torch.no_grad():
        assert torch.equal(loaded(tokens), pair.our_logits(tokens))


@pytest.mark.parametrize("shard", [2**30, 9_000])
def test_they_load_what_we_save(pair, tmp_path, shard):
    save_checkpoint(pair.ours, tmp_path, pair.theirs.config.to_dict(), shard_bytes=shard)
    assert (tmp_path / INDEX).exists() == (shard == 9_000)
    loaded, report = AutoModelForCausalLM.from_pretrained(
        tmp_path, dtype=torch.float64, attn_implementation="eager", output_loading_info=True
    )
    loaded.config._experts_implementation = "eager"
    assert type(loaded) is type(pair.theirs)
    assert not any(report.values()), report
    theirs = dict(pair.theirs.named_parameters())
    for name, parameter in loaded.named_parameters():
        kept = theirs[name].to(parameter.dtype)  # some routers stay in float32, whatever is asked for
        assert torch.equal(parameter, kept), name
    tokens = pair.tokens(2, 9)
    with torch.no_grad():
        # Loaded outside `in_float64`, their norms and angles are float32.
        torch.testing.assert_close(loaded(tokens).logits, pair.our_logits(tokens), rtol=1e-3, atol=1e-3)


def test_every_family_with_names_goes_both_ways():
    families = {config_class.model_type for _, config_class, _ in MODELS.values()}
    decoders = {family for family, table in TABLES.items() if any(row[1] == "head" for row in table)}
    assert decoders - families <= {"deepseek_v2"}, "which stands in test_moe_checkpoints"


def test_ours_to_ours(tmp_path):
    pair = small()
    save_checkpoint(pair.ours, tmp_path / "new" / "folder", pair.theirs.config.to_dict())
    loaded, tokens = load_checkpoint(tmp_path / "new" / "folder", dtype=torch.float32), pair.tokens(1, 5)
    with torch.no_grad():
        torch.testing.assert_close(loaded(tokens).double(), pair.our_logits(tokens), rtol=1e-3, atol=1e-3)
