"""Streaming: the tokens of one row given out one by one, and their text as soon as it
can be shown.

Terms:
    streaming, token stream: tokens given out while the answer is still being written ->
        stream, text_pieces
"""

from collections.abc import Callable, Iterable, Iterator

import torch
from jaxtyping import Int
from torch import Tensor

from course_lib.generate.decode import Choose, Step, decode_step, prefill
from course_lib.generate.sampling import greedy

BROKEN = "\N{REPLACEMENT CHARACTER}"


def stream(
    step: Step,
    prompt: Int[Tensor, " t"],
    *,
    max_new_tokens: int,
    sampler: Choose = greedy,
    eos: int | None = None,
    start: int = 0,
) -> Iterator[int]:
    """What `generate` says to one prompt, token by token.

    Args:
        step: the model's step.
        prompt: at least one token.
        max_new_tokens: how many come out at most.
        sampler: logits [1 vocab] to tokens [1].
        eos: the token that ends the answer; it is not given out.
        start: how many earlier tokens the step's cache holds.

    Raises:
        ValueError: as `generate`, once the first token is asked for.

    *Cost*: one prefill, then one decode step before each further token. A token is
        given out before it is run, so after the last one the cache lacks it, unless
        `eos` followed.

    >>> from torch.nn.functional import one_hot
    >>> counts = lambda tokens, positions: one_hot((tokens + 1) % 9, 9).float()
    >>> list(stream(counts, torch.tensor([1, 2]), max_new_tokens=9, eos=6))
    [3, 4, 5]
    """
    if max_new_tokens < 1:
        raise ValueError(
            f"max_new_tokens={max_new_tokens}: allowed are whole numbers from 1"
        )
    places = torch.arange(start, start + len(prompt), device=prompt.device)[None]
    # Not around the loop: the mode would hold for the caller between two tokens.
    with torch.inference_mode():
        token = sampler(prefill(step, prompt[None], places))
    for given in range(1, max_new_tokens + 1):
        if int(token) == eos:
            return
        yield int(token)
        if given < max_new_tokens:
            with torch.inference_mode():
                place = places[:, -1] + given
                token = sampler(decode_step(step, token, place))


def text_pieces(
    tokens: Iterable[int], decode: Callable[[list[int]], str]
) -> Iterator[str]:
    """The text of tokens as they come. A character that several tokens spell waits for
    the last of them.

    Args:
        tokens: of a byte-level tokenizer, whose texts may be joined.
        decode: tokens to text, U+FFFD for bytes that are no character.

    >>> decode = lambda tokens: bytes(tokens).decode(errors="replace")
    >>> list(text_pieces([72, 195, 182, 46], decode))
    ['H', 'ö', '.']
    """
    waiting: list[int] = []
    for token in tokens:
        waiting.append(token)
        text = decode(waiting)
        if not text.endswith(BROKEN):
            yield text
            waiting = []
    if waiting:
        yield decode(waiting)
