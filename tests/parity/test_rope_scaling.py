"""RoPE scaling against `transformers`: speeds, attention factors, whole models past the length trained on.

`dynamic` and `longrope` follow the length seen. Their cached keys keep the turn they came in with, so that a
decode past that length differs from one pass over all tokens, in their models as in ours.
"""

import dataclasses
from pathlib import Path

import pytest
import torch
import yaml
from torch import nn
from transformers import (
    AutoConfig,
    GlmConfig,
    GlmForCausalLM,
    GptOssConfig,
    GptOssForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
)
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS
from transformers.models.llama import modeling_llama

from course_lib.layers.positions.rope_scaling import SCALINGS
from course_lib.models.attention_factory import build_rope
from course_lib.models.checkpoints.weights import load_hf_weights
from course_lib.models.lm import CausalLM
from course_lib.specs import loader
from course_lib.specs.from_hf import spec_from_hf_config
from course_lib.specs.records import FFNSpec
from tests.parity import decoder_checks as checks
from tests.parity.against_transformers import Pair, in_float64

EXACT = {"rtol": 1e-12, "atol": 0.0}
ORIGINAL = 8
SIZES = {
    "hidden_size": 18,
    "intermediate_size": 23,
    "num_hidden_layers": 3,
    "vocab_size": 29,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "head_dim": 10,
    "max_position_embeddings": 32,
}
OLD = {"original_max_position_embeddings": ORIGINAL}
YARN = {"rope_type": "yarn", "factor": 4.0, "rope_theta": 50.0, **OLD}
LISTS = {"short_factor": [1.0, 1.1, 1.3, 1.2, 1.9], "long_factor": [1.0, 1.5, 2.0, 5.0, 9.0]}
LLAMA3 = {"rope_type": "llama3", "factor": 4.0, "rope_theta": 50.0, **OLD}
FIXED = {
    "linear": {"rope_type": "linear", "factor": 4.0, "rope_theta": 500.0},
    "yarn": YARN,
    "yarn-not-rounded": YARN | {"truncate": False},
    "yarn-no-ramp": YARN | {"original_max_position_embeddings": 6},  # both of its ends are pair 0
    "yarn-ends-swapped": YARN | {"original_max_position_embeddings": 2},  # no pair turns once
    "yarn-betas-equal": YARN | {"beta_fast": 1.0, "beta_slow": 1.0},  # Kimi K2
    "yarn-betas-equal-not-rounded": YARN | {"beta_fast": 1.0, "beta_slow": 1.0, "truncate": False},
    "yarn-one-pair": YARN | {"beta_fast": 1.02, "beta_slow": 1.01, "truncate": False},
    "yarn-mscales": YARN | {"mscale": 0.7, "mscale_all_dim": 1.3},
    "yarn-one-mscale": YARN | {"mscale": 0.7},
    "yarn-attention-factor": YARN | {"attention_factor": 1.7, "beta_fast": 4.0, "beta_slow": 0.5},
    "yarn-no-factor": YARN | {"factor": None},
    "llama3": LLAMA3 | {"low_freq_factor": 0.5, "high_freq_factor": 1.2},
    "proportional": {"rope_type": "proportional", "partial_rotary_factor": 0.5, "rope_theta": 50.0},
    "proportional-factor": {
        "rope_type": "proportional",
        "partial_rotary_factor": 0.7,
        "factor": 2.0,
        "rope_theta": 50.0,
    },
}
BY_LENGTH = {
    "dynamic": {"rope_type": "dynamic", "factor": 3.0, "rope_theta": 50.0},
    "longrope": {"rope_type": "longrope", "rope_theta": 50.0, **LISTS, **OLD},
    "longrope-factor": {"rope_type": "longrope", "factor": 7.0, "rope_theta": 50.0, **LISTS, **OLD},
    "longrope-attention": {
        "rope_type": "longrope",
        "attention_factor": 1.3,
        "rope_theta": 50.0,
        **LISTS,
        **OLD,
    },
}
WHOLE = ("yarn", "yarn-attention-factor", "llama3", "proportional")  # linear is in test_llama
PUBLISHED = ("deepseek-v2", "deepseek-v3", "gpt-oss-20b", "kimi-k2", "llama-3.1-405b", "llama-3.1-8b")
PUBLISHED += ("ministral-3-3b",)


def config_of(name: str) -> LlamaConfig:
    table = (FIXED | BY_LENGTH)[name]
    # Their dynamic scaling takes the config's length for the one trained on.
    length = {"max_position_embeddings": ORIGINAL} if name == "dynamic" else {}
    return LlamaConfig(**SIZES | length, rope_parameters=dict(table))


def check_speeds(config, rope, length: int | None) -> None:
    function = ROPE_INIT_FUNCTIONS[config.rope_parameters["rope_type"]]
    with in_float64(modeling_llama):
        theirs, their_factor = function(config, seq_len=length)
    ours, our_factor = rope.speeds(torch.float64, length=length)
    assert theirs.dtype == torch.float64  # or else the comparison below would mean little
    torch.testing.assert_close(ours, theirs, **EXACT)
    assert our_factor == pytest.approx(their_factor, rel=1e-12)


@pytest.mark.parametrize("name", FIXED | BY_LENGTH)
@pytest.mark.parametrize("length", [None, 5, ORIGINAL, ORIGINAL + 1, 31])
def test_speeds_and_attention_factor(name, length):
    config = config_of(name)
    rope = build_rope(spec_from_hf_config(config.to_dict()).layers[0].mixer.rope)
    check_speeds(config, rope, length)


@pytest.mark.parametrize("name", PUBLISHED)
def test_speeds_of_a_published_model(name):
    fields = yaml.safe_load((Path(loader.__file__).parent / "models" / f"{name}.yml").read_text())["config"]
    if fields["model_type"] == "kimi_k2":  # DeepSeek-V3's class, under a name of its own
        fields["model_type"] = "deepseek_v3"
    config = AutoConfig.for_model(**fields)
    rope = build_rope(loader.load_spec(name).layers[0].mixer.rope)
    check_speeds(config, rope, None)


def test_every_type_is_compared():
    assert {table["rope_type"] for table in (FIXED | BY_LENGTH).values()} == SCALINGS.keys()


class TestFixedSpeeds(checks.DecoderParity):
    """Every check of a decoder reaches past the eight tokens that the model was trained on."""

    @pytest.fixture(params=WHOLE, scope="class")
    @classmethod
    def pair(cls, request) -> Pair:
        return Pair(config_of(request.param), LlamaForCausalLM)


class TestPartOfTheHead(checks.DecoderParity):
    """GLM turns half of each head, in neighbouring pairs."""

    @pytest.fixture(params=["yarn", "linear", "llama3"], scope="class")
    @classmethod
    def pair(cls, request) -> Pair:
        table = FIXED[request.param] | {"partial_rotary_factor": 0.6}
        pair = Pair(GlmConfig(**SIZES, rope_parameters=table, pad_token_id=0), GlmForCausalLM)
        assert pair.spec.layers[0].mixer.rope.dim == 6
        return pair


class TestSpeedsByLength:
    @pytest.fixture(params=BY_LENGTH, scope="class")
    @classmethod
    def models(cls, request) -> Pair:
        return Pair(config_of(request.param), LlamaForCausalLM)

    @pytest.fixture
    def pair(self, models) -> Pair:
        forget(models)
        return models

    def test_parameter_count(self, pair):
        checks.check_parameter_count(pair)

    @pytest.mark.parametrize("length", [ORIGINAL - 1, ORIGINAL, ORIGINAL + 1, 13, 31])
    def test_full_forward(self, pair, length):
        checks.check_full_forward(pair, length=length)

    def test_gradients(self, pair):
        checks.check_gradients(pair)

    def test_cached_decode_within_the_length_trained_on(self, pair):
        checks.check_cached_decode(pair, prompt=3, length=ORIGINAL)

    def test_cached_decode_past_it_mixes_turns_as_theirs_does(self, pair):
        """Keys of the prompt keep the turn of their time; the tokens before L are those of one pass."""
        tokens, length, prompt = pair.tokens(2, 14), 14, 5
        steps = ((0, prompt), *((i, i + 1) for i in range(prompt, length)))
        our_cache, their_cache = pair.ours.make_cache(2, length), pair.their_cache()
        ours = [pair.our_logits(tokens[:, start:end], cache=our_cache) for start, end in steps]
        theirs = [pair.their_logits(tokens[:, start:end], their_cache) for start, end in steps]
        ours, theirs = torch.cat(ours, dim=1), torch.cat(theirs, dim=1)
        torch.testing.assert_close(ours, theirs, **pair.tolerance)
        away = (ours - pair.our_logits(tokens)).abs().amax(dim=(0, 2))
        assert (away[ORIGINAL:] > 1e-4).all()
        within = pair.our_logits(tokens[:, :ORIGINAL])
        torch.testing.assert_close(ours[:, :ORIGINAL], within, **pair.tolerance)

    def test_a_long_prompt_then_steps(self, pair):
        tokens = pair.tokens(2, 14)
        our_cache, their_cache = pair.ours.make_cache(2, 14), pair.their_cache()
        for start, end in ((0, 11), (11, 12), (12, 14)):
            ours = pair.our_logits(tokens[:, start:end], cache=our_cache)
            theirs = pair.their_logits(tokens[:, start:end], their_cache)
            torch.testing.assert_close(ours, theirs, **pair.tolerance)

    def test_rows_of_unlike_length_see_the_longest(self, pair):
        pads, length = (0, 3, 6), 11
        tokens = pair.tokens(3, length)
        mask = torch.stack([(torch.arange(length) >= pad).long() for pad in pads])
        positions = (mask.cumsum(dim=1) - 1).masked_fill(mask == 0, -1)
        theirs = pair.their_logits(tokens, attention_mask=mask, position_ids=positions.clamp(min=0))
        ours = pair.our_logits(tokens, positions)
        for row, pad in enumerate(pads):
            torch.testing.assert_close(ours[row, pad:], theirs[row, pad:], **pair.tolerance)


def forget(pair: Pair) -> None:
    """Let their dynamic scaling forget its longest call, by one shorter than the length trained on."""
    pair.their_logits(pair.tokens(1, 1))


def test_their_dynamic_scaling_remembers_its_longest_call_and_ours_does_not():
    pair = Pair(config_of("dynamic"), LlamaForCausalLM)
    tokens = pair.tokens(1, 10)
    ours = pair.our_logits(tokens)
    pair.their_logits(pair.tokens(1, 31))
    assert (pair.their_logits(tokens) - ours).abs().max() > 1e-4
    forget(pair)
    torch.testing.assert_close(pair.their_logits(tokens), ours, **pair.tolerance)


class Dense(nn.Module):
    """A gated feed-forward part in the place of their experts, under the names of Llama's."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(width, inner, bias=False)
        self.up_proj = nn.Linear(width, inner, bias=False)
        self.down_proj = nn.Linear(inner, width, bias=False)

    def forward(self, x):
        return self.down_proj(nn.functional.silu(self.gate_proj(x)) * self.up_proj(x)), None


class DenseGptOss(Pair):
    """gpt-oss with dense feed-forward parts: its sinks, windows and YaRN in a whole model."""

    def __init__(self, config: GptOssConfig) -> None:
        torch.manual_seed(0)
        config._attn_implementation = "eager"
        self.tolerance, self.key_copies = {"rtol": 1e-10, "atol": 1e-10}, 1
        self.modeling = __import__(GptOssForCausalLM.__module__, fromlist=["_"])
        with in_float64(self.modeling):
            self.theirs = GptOssForCausalLM(config)
            for layer in self.theirs.model.layers:
                layer.mlp = Dense(config.hidden_size, 23)
            self.theirs = self.theirs.double().eval()
        for parameter in self.theirs.parameters():
            parameter.data = torch.randn_like(parameter) * 0.3
        spec = spec_from_hf_config(config.to_dict())
        ffn = FFNSpec(kind="glu", activation="silu", width=23)
        layers = tuple(dataclasses.replace(layer, ffn=ffn) for layer in spec.layers)
        self.spec = dataclasses.replace(spec, layers=layers, family="llama")  # for the names of its weights
        self.ours = CausalLM(self.spec).double().eval()
        load_hf_weights(self.ours, self.theirs.state_dict())


class TestGptOssAttention(checks.DecoderParity):
    @pytest.fixture(params=[True, False], scope="class")
    @classmethod
    def pair(cls, request) -> Pair:
        table = YARN | {"truncate": request.param, "beta_fast": 4.0}
        experts = {"num_local_experts": 3, "num_experts_per_tok": 2, "sliding_window": 5}
        pair = DenseGptOss(GptOssConfig(**SIZES | experts, rope_parameters=table))
        assert [layer.mixer.window for layer in pair.spec.layers] == [5, None, 5]
        assert all(layer.mixer.sinks for layer in pair.spec.layers)
        return pair
