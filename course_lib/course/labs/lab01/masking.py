"""Lab 1, exercise 2: BERT's masked-language-model objective, 80 / 10 / 10.

Symbols: b rows, n tokens; `choose` and `fate` uniform numbers in [0, 1) drawn for every
    token.
"""

import torch
from torch import Tensor

from course_lib.course.labs.checking import Checker, random_sizes
from course_lib.course.labs.lending import strided

IGNORED = -100
HINTS = {
    "share": "Only chosen tokens change. Chosen are the tokens "
    "whose `choose` is below 0.15.",
    "special": "Special tokens are never chosen.",
    "mask_share": "A chosen token becomes MASK where its `fate` is below 0.8.",
    "random_share": "A chosen token becomes its replacement where "
    "`fate` is from 0.8 up to 0.9.",
    "kept_share": "A chosen token stays as it is where `fate` is 0.9 or more.",
    "targets_chosen": "Every chosen token is a target, also the replaced ones and "
    "those left as they are.",
    "targets_original": "The target is the original token, not what stands there now.",
    "ignored": "Where nothing was chosen the target is -100, "
    "and the loss passes over it.",
    "ends": "0.15, 0.8 and 0.9 belong to the upper side: `choose` and `fate` are "
    "compared by <, not <=.",
    "unlucky": "A chosen token is asked for even where its replacement happens to be "
    "the token itself.",
    "mask_before": "`special` alone says who is never chosen: a token that is MASK "
    "already is chosen like any other.",
    "output": "Return (inputs, targets), both int64 [b n].",
}
CHECK = Checker("Exercise 2", HINTS)


def check(mask_tokens, seed: int = 0) -> str:
    """Check exercise 2: `mask_tokens(tokens, special, choose, fate, replacements,
    mask_id)`.

    Raises: CheckFailed with the hint that fits; NotImplementedError while it is
        missing.
    """
    rng, size = random_sizes(seed, b=(3, 4), n=(300, 400), vocab=(40, 60))
    for number, shape in enumerate(((size["b"], size["n"]), (1, 61), (2, 50))):
        given = _given(shape, size["vocab"], rng, spare=number == 0)
        if number == 1:
            given[2].fill_(0.9)  # nothing is chosen
        lies = [strided(part) for part in given] if number == 2 else given
        mask_id = size["vocab"] if number < 2 else int(given[0][1, 12])
        what = f"mask_tokens of {shape[0]} x {shape[1]} tokens"
        got = CHECK.call(mask_tokens, *lies, mask_id, what=what)
        pair = isinstance(got, tuple) and len(got) == 2
        CHECK.true(pair, "output", what, "(inputs, targets)", type(got).__name__)
        _compare(got, given, mask_id)
    return (
        "Exercise 2: 15 % chosen; of these 80 % masked, 10 % replaced, 10 % left, "
        "and all of them asked for."
    )


def _given(
    shape: tuple[int, int], vocab: int, rng: torch.Generator, spare: bool
) -> list[Tensor]:
    """tokens, special, choose, fate and replacements; a replacement may be the token
    itself, unless `spare`.
    """
    tokens = torch.randint(vocab, shape, generator=rng)
    shift = torch.randint(1, vocab, shape, generator=rng)
    special = torch.rand(shape, generator=rng) < 0.1
    choose, fate = (torch.rand(shape, generator=rng).double() for _ in range(2))
    special[0, :3] = False
    ends = torch.tensor([[0.15, 0.0, 0.0], [0.5, 0.8, 0.9]], dtype=torch.float64)
    choose[0, :3], fate[0, :3] = ends
    if not spare:
        lucky = torch.rand(shape, generator=rng) < 0.5
        shift[lucky], choose[:, 9:], fate[:, 20:] = 0, choose[:, 9:] / 5, 0.85
    return [tokens, special, choose, fate, (tokens + shift) % vocab]


def _compare(got: tuple, given: list[Tensor], mask_id: int) -> None:
    tokens, special, choose, fate, replacements = given
    right, chosen = _masked(*given, mask_id), (choose < 0.15) & ~special
    wrong = {hint: _masked(*given, mask_id, **slip) for hint, slip in SLIPS.items()}
    by_hint = {
        hint: inputs
        for hint, (inputs, _) in wrong.items()
        if not torch.equal(inputs, right[0])
    }
    unlike = torch.where(tokens == mask_id, tokens, right[0])
    if not torch.equal(unlike, right[0]):
        by_hint["mask_before"] = unlike
    by_hint["output"] = right[1]  # the two in the wrong order
    region = _region(got[0], right[0], choose, fate, special)
    CHECK.close(got[0], right[0], region, "inputs", by_hint, shape="output")
    lucky = chosen & (fate >= 0.8) & (fate < 0.9) & (replacements == tokens)
    changed = right[0] != tokens
    by_hint = {
        "targets_original": torch.where(chosen, right[0], IGNORED),
        "targets_chosen": torch.where(changed, tokens, IGNORED),
        "ignored": tokens,
        "unlucky": torch.where(chosen & ~lucky, tokens, IGNORED),
    }
    masked_only = torch.where(right[0] == mask_id, tokens, IGNORED)
    if isinstance(got[1], Tensor) and torch.equal(got[1], masked_only):
        by_hint["targets_chosen"] = masked_only
    unmasked = torch.where(chosen & (tokens != mask_id), tokens, IGNORED)
    by_hint["mask_before"] = unmasked
    unasked = isinstance(got[1], Tensor) and got[1].shape == right[1].shape
    by_hint = {h: t for h, t in by_hint.items() if not torch.equal(t, right[1])}
    default = "compare"
    if unasked and bool((got[1][~chosen] != IGNORED).any()):
        default = "ignored"
    CHECK.close(got[1], right[1], default, "targets", by_hint, shape="output")


def _masked(
    tokens: Tensor,
    special: Tensor,
    choose: Tensor,
    fate: Tensor,
    replacements: Tensor,
    mask_id: int,
    *,
    share: float = 0.15,
    spare: bool = True,
    to_mask: float = 0.8,
    to_random: float = 0.9,
) -> tuple[Tensor, Tensor]:
    """The objective, right by default; each option is a place for one slip."""
    chosen = (choose < share) & ~(special & spare)
    inputs = torch.where(chosen & (fate < to_mask), mask_id, tokens)
    inputs = torch.where(
        chosen & (fate >= to_mask) & (fate < to_random), replacements, inputs
    )
    return inputs, torch.where(chosen, tokens, IGNORED)


SLIPS = {
    "share": {"share": 0.85},
    "special": {"spare": False},
    "mask_share": {"to_mask": 1.0, "to_random": 1.0},
    "random_share": {"to_random": 0.8},
    "kept_share": {"to_random": 1.0},
}


def _region(
    got: object, right: Tensor, choose: Tensor, fate: Tensor, special: Tensor
) -> str:
    """Name the rule that the first wrong input breaks."""
    if not isinstance(got, Tensor) or got.shape != right.shape:
        return "output"
    at = got != right
    if not at.any():
        return "output"
    places = [tuple(place) for place in at.nonzero().tolist()]
    if all(row == 0 and column < 3 for row, column in places):
        return "ends"
    place = places[0]
    if special[place]:
        return "special"
    if choose[place] >= 0.15:
        return "share"
    return (
        "mask_share"
        if fate[place] < 0.8
        else "random_share"
        if fate[place] < 0.9
        else "kept_share"
    )
