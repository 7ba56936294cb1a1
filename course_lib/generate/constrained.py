"""Constrained decoding: tokens that a grammar does not allow are masked, so the output
is JSON.

Before each draw, the tokens that the grammar does not allow get the logit -inf. A token
of several bytes is allowed if its bytes are, one after another. A budget of tokens is
kept too: a token after which the value could no longer be completed in the tokens that
are left is ruled out. So the text is valid even if it has to stop.

What the mask cannot do: make the values right. And it changes probabilities: what is
left is renormalised at each step, which is not the model's distribution over valid
texts.

Terms:
    constrained decoding, grammar-constrained decoding, structured output, JSON mode:
        tokens that a grammar does not allow get the logit -inf before the draw ->
        GrammarSampler
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from course_lib.generate import grammar
from course_lib.generate.decode import Choose
from course_lib.generate.sampling import RULED_OUT
from course_lib.tasks.tokenizer import EOS, Tokenizer

_NEVER = 1 << 30  # tokens needed after a token that is not allowed


class GrammarSampler:
    """Choose tokens that keep each row valid. Call it with logits [b vocab] once a
    step, as `generate` does.

    Args:
        choose: how to choose among what is allowed: `greedy` or a `Sampler`.
        tokenizer: of the model.
        max_new_tokens: the budget of a row, the same that `generate` gets.
        root, depth: what is allowed, as for `grammar.start`.
        eos: the token that ends a row; allowed when the value is complete.

    Raises:
        ValueError: the budget is below the shortest value; and what `grammar.start`
        raises.

    *Cost*: a state met for the first time runs every token through the automaton; after
        that a look-up.
    *Source*: Willard and Louf 2023, arXiv:2307.09702, for the mask.
    *Differs from source*: their automaton is finite; this one has a stack, and a
        budget.

    >>> from course_lib.generate.sampling import greedy
    >>> sampler = GrammarSampler(greedy, Tokenizer(), max_new_tokens=4)
    >>> likes_a_bracket = torch.zeros(1, 368)
    >>> likes_a_bracket[0, ord("[")] = 1.0
    >>> bytes(int(sampler(likes_a_bracket)) for _ in range(4)).decode()
    '[[]]'
    """

    def __init__(
        self,
        choose: Choose,
        tokenizer: Tokenizer,
        *,
        max_new_tokens: int,
        root: str = "value",
        depth: int = 8,
        eos: int = EOS,
    ) -> None:
        self._choose, self._tokenizer, self._eos = choose, tokenizer, eos
        self._start = grammar.start(root, depth=depth)
        self._left = max_new_tokens
        self._rows: list[grammar.State | None] | None = None
        self._needs: dict[grammar.State, Tensor] = {}
        shortest = 2 if root == "object" else 1
        if max_new_tokens < shortest:
            raise ValueError(
                f"max_new_tokens={max_new_tokens}: allowed is "
                f"{shortest} or more, for {root!r}"
            )

    def __call__(self, logits: Float[Tensor, "b vocab"]) -> Int[Tensor, " b"]:
        """Choose one token a row.

        Raises:
            ValueError: the vocabulary is not the tokenizer's, the number of rows
                changed, or the budget is spent.
        """
        self._check(logits)
        rows = self._rows or [self._start] * len(logits)
        self._left -= 1
        kept = torch.stack([self._allowed(state) for state in rows]).to(logits.device)
        tokens = self._choose(logits.masked_fill(~kept, RULED_OUT))
        self._rows = [
            self._after(state, int(t))
            for state, t in zip(rows, tokens.tolist(), strict=True)
        ]
        return tokens

    def _allowed(self, state: grammar.State | None) -> Tensor:
        """The tokens after which this row can still be completed; only `eos` in a row
        that has ended.
        """
        if state is None:
            return torch.arange(self._tokenizer.vocab) == self._eos
        if state not in self._needs:
            self._needs[state] = torch.tensor(
                [self._need(state, token) for token in range(self._tokenizer.vocab)]
            )
        return self._needs[state] <= self._left

    def _need(self, state: grammar.State, token: int) -> int:
        """How many more tokens are needed after this one: no more than bytes, as every
        byte is a token.
        """
        if token == self._eos:
            return 0 if grammar.complete(state) else _NEVER
        data = self._tokenizer.bytes_of(token)
        try:
            return (
                grammar.shortest_ending(grammar.read(state, data)) if data else _NEVER
            )
        except ValueError:
            return _NEVER

    def _after(self, state: grammar.State | None, token: int) -> grammar.State | None:
        if state is None or token == self._eos:
            return None
        return grammar.read(state, self._tokenizer.bytes_of(token))

    def _check(self, logits: Tensor) -> None:
        if logits.shape[1] != self._tokenizer.vocab:
            raise ValueError(
                f"logits score {logits.shape[1]} tokens: allowed are the tokenizer's "
                f"{self._tokenizer.vocab}"
            )
        if self._rows is not None and len(self._rows) != len(logits):
            raise ValueError(
                f"logits has {len(logits)} rows: allowed are the "
                f"{len(self._rows)} of before"
            )
        if self._left < 1:
            raise ValueError(
                "max_new_tokens are spent: make a new sampler for another text"
            )
