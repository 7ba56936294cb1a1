"""The summary of a config: each number is that of the function that it names; an encoder writes no text."""

import pytest

from course_lib.costs.cache import cache_bytes, cache_bytes_per_token
from course_lib.costs.flops import flops_per_token, prefill_flops
from course_lib.costs.params import param_count
from course_lib.costs.summary import summary
from course_lib.specs.loader import list_specs, load_spec


@pytest.mark.parametrize("name", list_specs())
def test_a_summary_is_what_the_functions_count(name):
    spec, tokens = load_spec(name), 700
    found, count = summary(spec, tokens, 1), param_count(spec)
    assert (found.total, found.active, found.by_part) == (count.total, count.active, count.by_part)
    assert found.embedding_share == count.by_part["embedding"] / count.total
    read = spec.context if spec.patches else tokens
    assert found.prefill_flops * read == pytest.approx(prefill_flops(spec, read), rel=1e-12)
    if spec.head == "lm":
        assert found.decode_flops == flops_per_token(spec, tokens)
        assert found.cache_bytes_per_token == cache_bytes_per_token(spec, bytes_per_element=1)
        assert found.cache_bytes == cache_bytes(spec, batch=1, tokens=tokens, bytes_per_element=1)
    else:
        assert found.decode_flops is found.cache_bytes is found.cache_bytes_per_token is None


def test_only_models_that_write_have_a_cache():
    writes = {name for name in list_specs() if summary(load_spec(name), 64).cache_bytes is not None}
    silent = set(list_specs()) - writes
    assert {"bert-base", "roberta-base", "modernbert-base", "vit-l-16", "clip-vit-l-14"} <= silent
    assert {"gpt2", "t5-base", "mamba-2.8b"} <= writes


def test_a_summary_of_no_token_is_refused():
    with pytest.raises(ValueError, match="tokens=0"):
        summary(load_spec("gpt2"), 0)
