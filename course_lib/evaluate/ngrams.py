"""N-gram baselines: what counting alone reaches on the text that a model is judged on.

A loss means little by itself. The line of a trigram says how much of it is counting
pairs and triples of tokens; only what a model gains below that line needs the model.
`kneser_ney` is the line for models that see what stands before, `two_sided` for masked
models, which see both sides. Both count on a run's training text and score its held-out
tokens, in nats per token.

Symbols: h context, x token, c(h x) how often x was counted in context h, D discount,
V vocabulary. Every order takes D from each count that is not 0, and hands what it took
to the order with less context, down to 1 / V:

    P(x | h) = (max(c(h x) - D, 0) + D N(h) P(x | shorter h)) / c(h)
    c(h) = sum over x of c(h x)       N(h) = how many different x were counted in h
    D = n1 / (n1 + 2 n2)              n1, n2 = entries of this order counted once, twice

    text "abab", bigram P(b | a): c(ab) = 2, so (2 - D + D 1 P(b)) / 2

A context that was never counted leaves P(x | shorter h) as it is. Where n1 or n2 is 0
the text says nothing about D, and D = 1/2.

Terms:
    n-gram baseline, n-gram language model, bigram, trigram: predicts a token from the
        n - 1 before it, by counting -> kneser_ney
    Kneser-Ney smoothing, absolute discounting, continuation count: discounted counts,
        whose lower orders count the different tokens that stood before -> kneser_ney
    two-sided count table: predicts a masked token from the counts of its neighbours on
        both sides -> two_sided
"""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Int
from numpy import ndarray
from torch import Tensor

KEY_BITS = 63  # a context and its token are one int64
HIDDEN = -1


def kneser_ney(
    train: Int[Tensor, " n"],
    valid: Int[Tensor, " m"] | Int[Tensor, "b t1"],
    *,
    orders: int = 4,
    vocab: int = 256,
) -> dict[int, float]:
    """Score text with interpolated Kneser-Ney n-grams of order 1 (unigram) to `orders`.

    *Equation*: at the top of this module. The highest order counts how often h x stands
    in the text; every lower one counts continuations, that is how many different tokens
    stand before h x. Each order has one D, from its own counts of either kind.

    Every token but the first (of a row) is scored. Where fewer than n - 1 tokens stand
    before it, the lower order that fits them is used as a highest order.

    Args:
        train: the text that is counted.
        valid: a stream [m]; or rows [b, t + 1], scored one by one. A model that is
            judged on blocks of t inputs sees nothing before its row, so rows are its
            like-for-like line: torch.cat([inputs, targets[:, -1:]], 1) for each batch
            of `tasks.corpora.blocks`. A stream gives all but the first tokens a whole
            history, and so a slightly lower line.
        orders: the highest n.
        vocab: tokens are 0 to vocab - 1.

    Returns:
        order -> mean nats per scored token.

    Raises:
        ValueError: a token is out of range, `train` is shorter than `orders`, a row of
        `valid` than 2, `orders` or `vocab` is below 1, or `orders` tokens of this
        vocabulary do not fit into 63 bits.

    *Cost*: one sort of the text for each order; 2 MB of bytes take under 1 CPU second.
    *Source*: Kneser and Ney 1995 (ICASSP); interpolated as in Chen and Goodman 1998
    (TR-10-98).
    *Differs from source*: the unigram is interpolated with 1 / V.

    >>> text = torch.tensor([0, 1, 0, 2] * 50)
    >>> lines = kneser_ney(text, text, orders=2, vocab=3)
    >>> round(lines[1], 2), round(lines[2], 2)  # 0 is certain, 1 or 2 is a coin flip
    (1.04, 0.35)
    """
    bits = _check_vocab(vocab, orders, "orders")
    text = _tokens("train", train, vocab, least=orders)
    rows = _tokens("valid", valid, vocab, least=2)
    rows = rows.reshape(-1, rows.shape[-1])
    tables = [_Table.of(_windows(text, n, 0, bits), bits) for n in range(orders)]
    lower = highest = np.full(rows.shape, 1 / vocab)
    result: dict[int, float] = {}
    for n, table in enumerate(tables, start=1):
        grams = _windows(rows, n - 1, 0, bits)
        lower = lower[:, lower.shape[1] - grams.shape[1] :]
        full = table.interpolate(grams, lower)
        highest = np.concatenate([highest[:, : n - 1], full], axis=1)
        result[n] = float(-np.log(highest[:, 1:]).mean())
        if n < orders:
            endings = tables[n].entries & ((1 << bits * n) - 1)  # first token dropped
            lower = _Table.of(endings, bits).interpolate(grams, lower)
    return result


def two_sided(
    train: Int[Tensor, " n"],
    inputs: Int[Tensor, "b t"],
    targets: Int[Tensor, "b t"],
    mask: Bool[Tensor, "b t"],
    *,
    vocab: int,
    reach: int = 2,
    kept: float = 0.5,
) -> float:
    """Score masked tokens with counts of what stands between the same neighbours.

    *Equation*: P(x | l, r) for l tokens to the left and r to the right is the equation
    at the top of this module, with the mean of P(x | l - 1, r) and P(x | l, r - 1) for
    the shorter context. All orders count how often.

    A neighbour is hidden if it is itself masked, or not in `train`, as `MASK` and
    padding are not. The context ends before it, and at the ends of the row.

    Some objectives leave a text token at a masked place (`objectives.masked_batch`: of
    100 places 80 become `MASK`, 10 a random token, 10 stay). What is shown there is
    used by Bayes' rule, as a model learns to: with token v shown,
    P(x | v) is in proportion to P(x) (kept [x = v] + (1 - kept) / V).

    Args:
        train: the text that is counted, without special tokens.
        inputs: the damaged rows; inputs[i, j] stands where targets[i, j] stood.
        targets, mask: as in `train.batches.Batch`.
        vocab: text tokens are 0 to vocab - 1; other inputs are hidden.
        reach: most neighbours on each side.
        kept: of the masked places that show a text token, the share at which it is the
            target. 0 takes no notice of what is shown.

    Returns:
        mean nats per masked token.

    Raises:
        ValueError: a token of `train` or a masked target, `reach`, `kept` or `vocab` is
        out of range, the shapes differ, nothing is masked, `train` has no 2 reach + 1
        tokens, or so many do not fit into 63 bits.

    *Cost*: (reach + 1)^2 sorts of the text.

    >>> text = torch.tensor([0, 1, 0, 2] * 50)
    >>> rows, masked = text[None], text[None] == 1
    >>> batch = rows.masked_fill(masked, 3), rows, masked
    >>> near, far = (two_sided(text, *batch, vocab=3, reach=r) for r in (1, 2))
    >>> round(near, 1), round(far, 1)  # 0 ? 0 is a coin flip, 2 0 ? 0 2 is certain
    (0.7, 0.0)
    """
    if not 0 <= kept < 1 or reach < 0:
        raise ValueError(
            f"kept={kept}, reach={reach}: allowed are 0 <= kept < 1, reach >= 0"
        )
    bits = _check_vocab(vocab, 2 * reach + 1, "2 reach + 1")
    text = _tokens("train", train, vocab, least=2 * reach + 1)
    shapes = [tuple(part.shape) for part in (inputs, targets, mask)]
    if len(set(shapes)) > 1:
        raise ValueError(
            f"inputs, targets, mask have shapes {shapes}: allowed is one shape"
        )
    if not bool(mask.any()):
        raise ValueError("mask is False everywhere: allowed is one place or more")
    wanted = _tokens("targets", targets[mask], vocab, least=1)
    places, seen = mask.cpu().numpy(), inputs.cpu().long()
    seen = torch.where(torch.isin(seen, torch.from_numpy(text)), seen, HIDDEN).numpy()
    left, right = _neighbours(np.where(places, HIDDEN, seen), places, reach)
    tables = {
        (a, b): _Table.of(_windows(text, a, b, bits), bits)
        for a in range(reach + 1)
        for b in range(reach + 1)
    }
    chance = _between(tables, left, right, wanted, vocab)
    shown = seen[places]
    of_shown = _between(tables, left, right, np.maximum(shown, 0), vocab)
    likely = kept * (shown == wanted) + (1 - kept) / vocab
    known = chance * likely / (kept * of_shown + (1 - kept) / vocab)
    return float(-np.log(np.where(shown == HIDDEN, chance, known)).mean())


@dataclass(frozen=True)
class _Table:
    """Counts of one order. An entry is a context with its token, as one number.

    Attributes:
        entries, counts: h x, sorted, and c(h x).
        contexts, totals, kinds: h, sorted, with c(h) and N(h).
        discount: D.
        bits: of a token; the token x has the lowest ones.
    """

    entries: ndarray
    counts: ndarray
    contexts: ndarray
    totals: ndarray
    kinds: ndarray
    discount: float
    bits: int

    @classmethod
    def of(cls, keys: ndarray, bits: int) -> "_Table":
        """Count every key."""
        entries, counts = np.unique(keys, return_counts=True)
        contexts, first, kinds = np.unique(
            entries >> bits, return_index=True, return_counts=True
        )
        totals = np.add.reduceat(counts, first)
        once, twice = int((counts == 1).sum()), int((counts == 2).sum())
        discount = once / (once + 2 * twice) if once and twice else 0.5
        return cls(entries, counts, contexts, totals, kinds, discount, bits)

    def interpolate(self, keys: ndarray, lower: ndarray) -> ndarray:
        """Return P(x | h) for each key h x, given P(x | shorter h)."""
        count = _find(self.entries, self.counts, keys)
        total = _find(self.contexts, self.totals, keys >> self.bits)
        kinds = _find(self.contexts, self.kinds, keys >> self.bits)
        own = np.maximum(count - self.discount, 0)
        shared = self.discount * kinds * lower
        return np.where(total > 0, (own + shared) / np.maximum(total, 1), lower)


def _find(sorted_keys: ndarray, values: ndarray, wanted: ndarray) -> ndarray:
    """Return the value of each wanted key, 0 where there is none."""
    at = np.searchsorted(sorted_keys, wanted)
    at[at == len(sorted_keys)] = 0
    return np.where(sorted_keys[at] == wanted, values[at], 0)


def _fold(columns: Sequence[ndarray], bits: int) -> ndarray:
    """Write the tokens of each place as one number, the last in the lowest bits."""
    return functools.reduce(lambda keys, column: (keys << bits) | column, columns)


def _windows(tokens: ndarray, left: int, right: int, bits: int) -> ndarray:
    """Return each token behind its neighbours: [... t] -> [... t - left - right]."""
    steps = [*range(-left, 0), *range(1, right + 1), 0]
    count = max(tokens.shape[-1] - left - right, 0)
    return _fold([tokens[..., left + i : left + i + count] for i in steps], bits)


def _neighbours(seen: ndarray, places: ndarray, reach: int) -> tuple[ndarray, ndarray]:
    """Return the neighbours of each place, the nearest first: two of [m reach].

    From the first hidden one on, and beyond the row, they are HIDDEN.
    """
    rows, columns = np.nonzero(places)
    padded = np.pad(seen, ((0, 0), (reach, reach)), constant_values=HIDDEN)
    steps = reach + np.array([[-1], [1]]) * np.arange(1, reach + 1)
    sides = padded[rows[:, None], columns[:, None] + steps[:, None]]
    visible = np.logical_and.accumulate(sides != HIDDEN, axis=-1)
    left, right = np.where(visible, sides, HIDDEN)
    return left, right


def _between(
    tables: Mapping[tuple[int, int], _Table],
    left: ndarray,
    right: ndarray,
    tokens: ndarray,
    vocab: int,
) -> ndarray:
    """Return P(token | neighbours) for each place, from as many as are visible."""
    chance: dict[tuple[int, int], ndarray] = {}
    for (a, b), table in tables.items():  # contexts grow: both shorter ones are there
        context = [left[:, i] for i in reversed(range(a))]
        context += [right[:, i] for i in range(b)]
        shorter = [chance[key] for key in ((a - 1, b), (a, b - 1)) if key in chance]
        lower = np.mean(shorter or [np.full(len(tokens), 1 / vocab)], axis=0)
        full = table.interpolate(_fold([*context, tokens], table.bits), lower)
        if b:
            full = np.where(right[:, b - 1] == HIDDEN, chance[a, b - 1], full)
        if a:
            full = np.where(left[:, a - 1] == HIDDEN, chance[a - 1, b], full)
        chance[a, b] = full
    return full


def _check_vocab(vocab: int, tokens: int, name: str) -> int:
    """Return the bits of a token."""
    bits = max(vocab - 1, 1).bit_length()
    if vocab < 1 or tokens < 1 or tokens * bits > KEY_BITS:
        raise ValueError(
            f"vocab={vocab}, {name}={tokens}: allowed are 1 or more of each, and "
            f"{name} times the {bits} bits of a token at most {KEY_BITS}"
        )
    return bits


def _tokens(name: str, tokens: Tensor, vocab: int, *, least: int) -> ndarray:
    """Return the tokens as int64, checked: their range, and the length of a row."""
    if tokens.shape[-1] < least or not tokens.numel():
        raise ValueError(
            f"{name} has shape {tuple(tokens.shape)}: allowed are {least} tokens or "
            "more a row"
        )
    low, high = int(tokens.min()), int(tokens.max())
    if low < 0 or high >= vocab:
        raise ValueError(
            f"{name} has tokens from {low} to {high}: allowed are 0 to {vocab - 1}"
        )
    return tokens.cpu().numpy().astype(np.int64)
