"""DeepSeek-V2 and V3 with a dense feed-forward part everywhere: latent attention, plain and absorbed."""

import pytest
import torch
from transformers import DeepseekV2Config, DeepseekV2ForCausalLM, DeepseekV3Config, DeepseekV3ForCausalLM

from course_lib.costs.cache import cache_bytes
from tests.parity import decoder_checks as checks
from tests.parity.against_transformers import TOLERANCE, Pair, in_float64, their_cache_bytes

LAYERS = 3
SIZES = {
    "hidden_size": 18,
    "intermediate_size": 23,
    "num_hidden_layers": LAYERS,
    "first_k_dense_replace": LAYERS,
    "vocab_size": 29,
    "num_attention_heads": 3,
    "num_key_value_heads": 3,
    "kv_lora_rank": 11,
    "q_lora_rank": 13,
    "qk_nope_head_dim": 5,
    "qk_rope_head_dim": 6,
    "v_head_dim": 7,
    "num_experts_per_tok": 2,
}
# Their V2 reads the rotary part as complex numbers in place, which needs it to start at an even place.
EVEN = {"kv_lora_rank": 10, "qk_nope_head_dim": 4}
V2 = DeepseekV2ForCausalLM, DeepseekV2Config
V3 = DeepseekV3ForCausalLM, DeepseekV3Config
YARN = {"rope_type": "yarn", "factor": 4.0, "rope_theta": 50.0, "original_max_position_embeddings": 8}
UNLIKE = YARN | {"mscale": 0.7, "mscale_all_dim": 1.3}  # scales softmax, and cosines by their ratio
MODELS = {
    "v2": (*V2, EVEN),
    "v2-yarn": (*V2, EVEN | {"rope_parameters": YARN | {"mscale": 1.0, "mscale_all_dim": 1.0}}),
    "v2-yarn-mscales": (*V2, EVEN | {"rope_parameters": UNLIKE, "q_lora_rank": None}),
    "v3-yarn": (*V3, {"rope_parameters": YARN}),
    "v3-yarn-mscales": (*V3, {"rope_parameters": UNLIKE}),
    "v2-lite": (*V2, EVEN | {"q_lora_rank": None}),
    "v3": (*V3, {}),
    "v3-lite-biases": (*V3, {"q_lora_rank": None, "attention_bias": True}),
    "v3-biases": (*V3, {"attention_bias": True}),
    "v3-halves": (*V3, {"rope_interleave": False}),
}


@pytest.fixture(params=MODELS, scope="module")
def models(request) -> Pair:
    model_class, config_class, changes = MODELS[request.param]
    return Pair(config_class(**SIZES | changes), model_class)


@pytest.fixture(params=["plain", "absorbed"])
def pair(request, models) -> Pair:
    for block in models.ours.blocks:
        block.mixer.absorbed = request.param == "absorbed"
    return models


def test_attention_layer(pair):
    theirs, ours = pair.theirs.model.layers[1].self_attn, pair.ours.blocks[1].mixer
    x, positions = torch.randn(2, 9, 18, dtype=torch.float64), torch.arange(9).expand(2, -1)
    causal = torch.full((9, 9), float("-inf"), dtype=torch.float64).triu(1)[None, None]
    with torch.no_grad(), in_float64(pair.modeling):
        turns = pair.theirs.model.rotary_emb(x, position_ids=positions)
        expected, _ = theirs(x, position_embeddings=turns, attention_mask=causal)
        got = ours(x, positions)
    torch.testing.assert_close(got, expected, **TOLERANCE)


class TestDeepSeek(checks.DecoderParity):
    def test_cache_bytes(self, pair):
        """Both caches hold the latent and nothing else."""
        batch, length = 2, 13
        ours, theirs = pair.ours.make_cache(batch, length), pair.their_cache()
        tokens = pair.tokens(batch, length)
        pair.our_logits(tokens, cache=ours)
        pair.their_logits(tokens, theirs)
        spec = pair.spec.layers[0].mixer
        values_per_token = LAYERS * (spec.kv_rank + spec.rope_dim)
        assert ours.nbytes == their_cache_bytes(theirs) == batch * length * values_per_token * 8
        assert ours.nbytes == cache_bytes(pair.spec, batch=batch, tokens=length, bytes_per_element=8)
