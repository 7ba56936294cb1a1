"""What every decoder of the LLaMA line must show against `transformers`. Each check takes a `Pair`."""

import torch

from course_lib.costs.cache import cache_bytes
from course_lib.costs.params import param_count
from course_lib.layers.masks import positions_from_padding
from tests.parity.against_transformers import TOLERANCE, Pair, their_cache_bytes


def check_parameter_count(pair: Pair) -> None:
    ours = sum(parameter.numel() for parameter in pair.ours.parameters())
    assert ours == sum(parameter.numel() for parameter in pair.theirs.parameters())
    assert ours == param_count(pair.spec).total


def check_full_forward(pair: Pair, batch: int = 2, length: int = 13) -> None:
    tokens = pair.tokens(batch, length)
    torch.testing.assert_close(pair.our_logits(tokens), pair.their_logits(tokens), **TOLERANCE)


def check_cached_decode(pair: Pair, batch: int = 2, prompt: int = 5, length: int = 13) -> None:
    """Token by token, ours with its cache = theirs with its cache = their full forward."""
    tokens = pair.tokens(batch, length)
    full = pair.their_logits(tokens)
    our_cache, their_cache = pair.ours.make_cache(batch, length), pair.their_cache()
    for start, end in ((0, prompt), *((i, i + 1) for i in range(prompt, length))):
        ours = pair.our_logits(tokens[:, start:end], cache=our_cache)
        theirs = pair.their_logits(tokens[:, start:end], their_cache)
        torch.testing.assert_close(ours, theirs, **TOLERANCE)
        torch.testing.assert_close(ours, full[:, start:end], **TOLERANCE)


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
            torch.testing.assert_close(got[row, pad:], alone, **TOLERANCE)


def check_cache_bytes(pair: Pair, batch: int = 2, lengths: tuple[int, ...] = (1, 4, 5, 9, 16)) -> None:
    """Bytes held: under a window ours has a ring of W slots, theirs the W - 1 tokens still needed."""
    for length in lengths:
        tokens = pair.tokens(batch, length)
        our_cache, their_cache = pair.ours.make_cache(batch, length), pair.their_cache()
        pair.our_logits(tokens, cache=our_cache)
        pair.their_logits(tokens, their_cache)
        expected = {"batch": batch, "tokens": length, "bytes_per_element": 8}
        assert our_cache.nbytes == cache_bytes(pair.spec, ring=True, **expected)
        assert their_cache_bytes(their_cache) == cache_bytes(pair.spec, **expected)
