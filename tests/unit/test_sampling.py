"""Sampling equals the logits warpers of `transformers`, ties and limits included."""

import pytest
import torch
from torch.testing import assert_close
from transformers import LogitsProcessorList, TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from course_lib.generate.sampling import Sampler, greedy, sample, temperature, top_k, top_p


def logits(rows=5, vocab=37, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return 3 * torch.randn(rows, vocab, generator=generator, dtype=torch.float64)


def stream(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("value", [0.1, 0.7, 1.0, 3.5])
def test_temperature_is_theirs(value):
    assert torch.equal(temperature(logits(), value), TemperatureLogitsWarper(value)(None, logits()))


@pytest.mark.parametrize("k", [1, 2, 17, 37, 100])
def test_top_k_is_theirs(k):
    assert torch.equal(top_k(logits(), k), TopKLogitsWarper(k)(None, logits()))


@pytest.mark.parametrize("p", [1e-6, 0.1, 0.5, 0.9, 0.999])
def test_top_p_is_theirs(p):
    for seed in range(20):
        assert torch.equal(top_p(logits(seed=seed), p), TopPLogitsWarper(p)(None, logits(seed=seed)))


def test_top_p_of_one_keeps_every_token_as_theirs_does():
    assert torch.equal(top_p(logits(), 1.0), TopPLogitsWarper(1.0)(None, logits()))
    assert top_p(torch.tensor([[60.0, 0.0]]), 1.0).isfinite().all()  # the first alone is 1 in float32


def test_the_chain_is_theirs():
    theirs = LogitsProcessorList([TemperatureLogitsWarper(0.6), TopKLogitsWarper(9), TopPLogitsWarper(0.8)])
    ours = Sampler(generator=stream(), temperature=0.6, top_k=9, top_p=0.8).warp(logits())
    assert_close(ours.softmax(-1), theirs(None, logits()).softmax(-1), rtol=0, atol=0)


def test_ties_at_the_kth_all_stay_as_theirs_do():
    tied = torch.tensor([[1.0, 5.0, 1.0, 1.0, 0.0]], dtype=torch.float64)
    kept = top_k(tied, 2).isfinite()
    assert kept.tolist() == [[True, True, True, True, False]]
    assert torch.equal(kept, TopKLogitsWarper(2)(None, tied).isfinite())


def test_top_p_keeps_the_lower_of_equal_tokens():
    """As many tokens stay as with theirs; which of the equal ones, theirs leaves to an unstable sort."""
    tied = torch.tensor([[0.25, 0.125, 0.125, 0.25, 0.25]], dtype=torch.float64).log()
    for p, kept in ((0.3, [0, 3]), (0.5, [0, 3]), (0.6, [0, 3, 4]), (0.8, [0, 1, 3, 4])):
        assert top_p(tied, p).isfinite()[0].nonzero().flatten().tolist() == kept
        assert TopPLogitsWarper(p)(None, tied).isfinite().sum() == len(kept)


def test_greedy_takes_the_lowest_of_equal_tokens():
    assert greedy(torch.tensor([[0.0, 7.0, 7.0], [1.0, 0.0, 1.0]])).tolist() == [1, 0]


def test_draws_follow_the_probabilities():
    """A count is binomial: 5 standard deviations is the tolerance, for 3 tokens and a fixed seed."""
    probabilities, draws = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64), 20_000
    tokens = sample(probabilities.log().expand(draws, -1), stream())
    counts = torch.bincount(tokens, minlength=3)
    assert (
        (counts - draws * probabilities).abs() < 5 * (draws * probabilities * (1 - probabilities)).sqrt()
    ).all()


def test_the_stream_decides_and_nothing_else():
    def tokens(seed):
        sampler = Sampler(generator=stream(seed), temperature=2.0)
        torch.rand(1)  # the global stream plays no part
        return [sampler(logits()).tolist() for _ in range(4)]

    assert tokens(1) == tokens(1) != tokens(2)


def test_a_ruled_out_token_is_never_drawn():
    sampler = Sampler(generator=stream(), top_k=2)
    best = logits().topk(2).indices
    for _ in range(50):
        assert (sampler(logits())[:, None] == best).any(-1).all()


@pytest.mark.parametrize(
    "act, message",
    [
        (lambda: temperature(logits(), 0.0), "temperature=0.0.*greedy"),
        (lambda: temperature(logits(), -1.0), "temperature=-1.0.*greedy"),
        (lambda: temperature(logits(), float("nan")), "temperature=nan.*greedy"),
        (lambda: Sampler(generator=stream(), temperature=0)(logits()), "temperature=0.*greedy"),
        (lambda: top_k(logits(), 0), "top_k=0"),
        (lambda: top_p(logits(), 0.0), "top_p=0.0"),
        (lambda: top_p(logits(), 1.1), "top_p=1.1"),
    ],
)
def test_bad_settings_are_named(act, message):
    with pytest.raises(ValueError, match=message):
        act()
