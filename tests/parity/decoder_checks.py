"""What every decoder must show against `transformers`: the checks, each of a `Pair`, and a class of tests."""

import torch

from course_lib.costs.cache import cache_bytes
from course_lib.costs.params import param_count
from course_lib.layers.positions.numbering import positions_from_padding
from course_lib.models.checkpoints.weights import hf_tensors
from tests.parity.against_transformers import Pair, in_float64, their_cache_bytes


def check_parameter_count(pair: Pair) -> None:
    ours = sum(parameter.numel() for parameter in pair.ours.parameters())
    learned = [parameter for parameter in pair.theirs.parameters() if parameter.requires_grad]
    assert ours == sum(parameter.numel() for parameter in learned)
    assert ours == param_count(pair.spec).total


def check_full_forward(pair: Pair, batch: int = 2, length: int = 13) -> None:
    tokens = pair.tokens(batch, length)
    torch.testing.assert_close(pair.our_logits(tokens), pair.their_logits(tokens), **pair.tolerance)


def check_cached_decode(pair: Pair, batch: int = 2, prompt: int = 5, length: int = 13) -> None:
    """Token by token, ours with its cache = theirs with its cache = their full forward."""
    tokens = pair.tokens(batch, length)
    full = pair.their_logits(tokens)
    our_cache, their_cache = pair.ours.make_cache(batch, length), pair.their_cache()
    for start, end in ((0, prompt), *((i, i + 1) for i in range(prompt, length))):
        ours = pair.our_logits(tokens[:, start:end], cache=our_cache)
        theirs = pair.their_logits(tokens[:, start:end], their_cache)
        torch.testing.assert_close(ours, theirs, **pair.tolerance)
        torch.testing.assert_close(ours, full[:, start:end], **pair.tolerance)


def check_left_padding(pair: Pair, length: int = 11, pads: tuple[int, ...] = (0, 3, 6)) -> None:
    """Rows of unlike length, padded on the left: real tokens get the logits of their row alone."""
    tokens = pair.tokens(len(pads), length)
    mask = torch.stack([(torch.arange(length) >= pad).long() for pad in pads])
    positions = positions_from_padding(mask)
    theirs = pair.their_logits(tokens, attention_mask=mask, position_ids=positions.clamp(min=0))
    ours = pair.our_logits(tokens, positions)
    stepwise, cache = [], pair.ours.make_cache(len(pads), length)
    for start, end in ((0, 7), *((i, i + 1) for i in range(7, length))):
        stepwise.append(pair.our_logits(tokens[:, start:end], positions[:, start:end], cache))
    for row, pad in enumerate(pads):
        alone = pair.their_logits(tokens[row : row + 1, pad:])[0]
        for got in (ours, theirs, torch.cat(stepwise, dim=1)):
            torch.testing.assert_close(got[row, pad:], alone, **pair.tolerance)


def check_cache_bytes(pair: Pair, batch: int = 2, lengths: tuple[int, ...] = (1, 4, 5, 9, 16)) -> None:
    """Bytes held: under a window ours has a ring of W slots, theirs the W - 1 tokens still needed."""
    for length in lengths:
        tokens = pair.tokens(batch, length)
        our_cache, their_cache = pair.ours.make_cache(batch, length), pair.their_cache()
        pair.our_logits(tokens, cache=our_cache)
        pair.their_logits(tokens, their_cache)
        expected = {"batch": batch, "tokens": length, "bytes_per_element": 8}
        assert our_cache.nbytes == cache_bytes(pair.spec, ring=True, **expected)
        assert their_cache_bytes(their_cache) == pair.key_copies * cache_bytes(pair.spec, **expected)


def check_gradients(pair: Pair, batch: int = 2, length: int = 9) -> None:
    """Of a random weighting of the logits, by every parameter, under their names."""
    tokens = pair.tokens(batch, length).clamp(min=1)  # their tables give padding, token 0, no gradient
    direction = torch.randn(batch, length, pair.spec.vocab, dtype=torch.float64)
    with in_float64(pair.modeling):
        (pair.theirs(tokens, use_cache=False).logits * direction).sum().backward()
    (pair.ours(tokens) * direction).sum().backward()
    learned = ((name, one) for name, one in pair.theirs.named_parameters() if one.requires_grad)
    theirs = {name: parameter.grad for name, parameter in learned}
    ours = hf_tensors(pair.ours, {name: parameter.grad for name, parameter in pair.ours.named_parameters()})
    pair.theirs.zero_grad()
    pair.ours.zero_grad()
    assert ours.keys() == theirs.keys()
    for name, gradient in theirs.items():
        size = gradient.abs().max().item()  # sums over tokens: rounding grows with the size of the gradient
        limits = {"rtol": pair.tolerance["rtol"], "atol": pair.tolerance["atol"] * max(size, 1.0)}
        torch.testing.assert_close(ours[name], gradient, **limits, msg=lambda text, of=name: f"{of}: {text}")


class DecoderParity:
    """The tests of every decoder; a module with a fixture `pair` derives its class of tests from this one."""

    def test_parameter_count(self, pair):
        check_parameter_count(pair)

    def test_full_forward(self, pair):
        check_full_forward(pair)

    def test_gradients(self, pair):
        check_gradients(pair)

    def test_cached_decode(self, pair):
        check_cached_decode(pair)

    def test_left_padding(self, pair):
        check_left_padding(pair)

    def test_cache_bytes(self, pair):
        check_cache_bytes(pair)
