"""Mistral: a sliding window in every layer. The sequences run well past the window."""

import pytest
from transformers import MistralConfig, MistralForCausalLM

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
