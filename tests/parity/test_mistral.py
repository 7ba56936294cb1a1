"""Mistral: a sliding window in every layer. The sequences run well past the window."""

import pytest
from transformers import Ministral3Config, Ministral3ForCausalLM, MistralConfig, MistralForCausalLM

from tests.parity import decoder_checks as checks
from tests.parity.against_transformers import Pair

SIZES = {"hidden_size": 14, "intermediate_size": 17, "num_hidden_layers": 3, "vocab_size": 31}
HEADS = {"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 6}


@pytest.fixture(params=[2, 5, 64, None], ids="window={}".format, scope="module")
def pair(request) -> Pair:
    return Pair(MistralConfig(sliding_window=request.param, **SIZES, **HEADS), MistralForCausalLM)


class TestMistral(checks.DecoderParity):
    pass


def test_decode_far_past_the_window(pair):
    checks.check_cached_decode(pair, prompt=1, length=40)


def test_prompt_longer_than_the_window(pair):
    checks.check_cached_decode(pair, prompt=17, length=29)


GROWING = {"llama_4_scaling_beta": 0.3, "original_max_position_embeddings": 4, "rope_theta": 50.0}
SCALED = {"rope_type": "yarn", "factor": 4.0, "beta_fast": 4.0, "beta_slow": 1.0}


class TestMinistral3(checks.DecoderParity):
    """Queries grow with their position, past the fourth token and past the eighth, with YaRN and without."""

    @pytest.fixture(params=[SCALED, {"rope_type": "default"}], ids=["yarn", "plain"], scope="class")
    @classmethod
    def pair(cls, request) -> Pair:
        rope = GROWING | request.param
        config = Ministral3Config(sliding_window=None, rope_parameters=rope, **SIZES, **HEADS)
        return Pair(config, Ministral3ForCausalLM)

    def test_the_growth_matters(self, pair):
        tokens = pair.tokens(1, 12)
        grown = pair.our_logits(tokens)
        for block in pair.ours.blocks:
            object.__setattr__(block.mixer.rope, "growth", None)
        plain = pair.our_logits(tokens)
        for block in pair.ours.blocks:
            object.__setattr__(block.mixer.rope, "growth", (0.3, 4))
        away = (grown - plain).abs().amax(dim=(0, 2))
        assert (away[:4] < 1e-12).all() and (away[4:] > 1e-6).all()
