"""What a cache does to predictions: nothing where it is exact, and more the coarser it is."""

import pytest
import torch

from course_lib.evaluate.cache_effect import cache_effects
from course_lib.layers.caches.contiguous import ContiguousCache
from course_lib.layers.caches.quantised import QuantisedCache, Quantiser
from course_lib.models.build import build_model
from course_lib.specs.small import small_llama


def int_cache(bits):
    return lambda *sizes: QuantisedCache(*sizes, quantiser=Quantiser(bits))


@pytest.fixture(scope="module")
def found():
    torch.manual_seed(0)
    model = build_model(small_llama(32, layers=2, heads=4, kv_heads=2, vocab=50)).eval()
    tokens = torch.randint(50, (40,))
    kinds = {"exact": ContiguousCache, "int8": int_cache(8), "int4": int_cache(4)}
    return model, tokens, cache_effects(model, tokens, kinds)


def test_an_exact_cache_changes_nothing_and_scores_the_models_loss(found):
    model, tokens, effects = found
    exact = effects["exact"]
    logits = model(tokens[None, :-1])[0]
    expected = torch.nn.functional.cross_entropy(logits, tokens[1:]).item()
    assert exact.loss == pytest.approx(expected, abs=1e-5)
    assert (exact.divergence, exact.same_first) == (0, 1) and exact.key_error == exact.value_error == 0
    assert exact.bytes == 2 * 39 * 2 * (8 + 8) * 4  # layers, tokens, heads, keys and values, float32


def test_fewer_bits_move_vectors_and_predictions_further(found):
    _, _, effects = found
    for field in ("divergence", "key_error", "value_error"):
        exact, eight, four = (getattr(effects[name], field) for name in ("exact", "int8", "int4"))
        assert exact < eight < four / 5
    assert effects["int4"].bytes < effects["int8"].bytes < effects["exact"].bytes


def test_a_text_of_one_token_predicts_nothing(found):
    with pytest.raises(ValueError, match="1 tokens"):
        cache_effects(found[0], torch.tensor([3]), {"exact": ContiguousCache})
