"""What experts specialise in: the mutual information of a token's class and its expert,
beside the same with the classes shuffled.

Symbols: n tokens, k picks of a token, e experts, c classes. A pick counts as a pair
(class of its token, expert); I is over these pairs.

    I(class; expert) = sum p(c, i) log2 (p(c, i) / (p(c) p(i)))    bits

A finite sample of independent pairs has I above 0, by about (c - 1)(e - 1) / (2 n ln 2)
bits. So the number says something only beside its permutation baseline: the same picks,
with the classes dealt out anew. And beside an untrained router: that one sends equal
tokens to equal experts, too.

Terms:
    expert specialisation: mutual information between a token's class and the experts
        that it visits -> expert_information
    permutation baseline: a statistic after the labels were shuffled ->
        shuffled_information
    byte classes: letters, digits, white space, brackets and so on -> byte_class
"""

import torch
from jaxtyping import Float, Int
from torch import Generator, Tensor

CLASSES = (
    "letter",
    "capital",
    "digit",
    "space",
    "newline",
    "bracket",
    "quote",
    "other sign",
)
"""Names of the classes of bytes, in the order of `byte_class`."""

_MEMBERS = {2: b"0123456789", 3: b" \t", 4: b"\n\r", 5: b"()[]{}", 6: b"'\"`"}


def byte_class(tokens: Int[Tensor, "*axes"]) -> Int[Tensor, "*axes"]:
    """The class of each byte, a number into `CLASSES`.

    >>> byte_class(torch.tensor(list(b"aB1 (_"))).tolist()
    [0, 1, 2, 3, 5, 7]
    """
    table = torch.full((256,), 7)
    table[ord("a") : ord("z") + 1] = 0
    table[ord("A") : ord("Z") + 1] = 1
    for number, members in _MEMBERS.items():
        table[list(members)] = number
    return table.to(tokens.device)[tokens]


def joint_counts(
    classes: Int[Tensor, " n"], experts: Int[Tensor, "n k"], c: int, e: int
) -> Float[Tensor, "c e"]:
    """How often a token of each class picks each expert; picks of no expert (-1) are
    left out.

    >>> joint_counts(torch.tensor([0, 1]), torch.tensor([[0, 1], [1, -1]]), 2, 2)
    tensor([[1., 1.],
            [0., 1.]])
    """
    pairs = classes[:, None] * e + experts
    found = torch.bincount(pairs[experts >= 0], minlength=c * e)
    return found.view(c, e).float()


def information(counts: Float[Tensor, "c e"]) -> float:
    """The mutual information of row and column, in bits.

    >>> information(torch.eye(4)), information(torch.ones(4, 4))
    (2.0, 0.0)
    """
    joint = counts.double() / counts.sum()
    apart = joint.sum(0, keepdim=True) * joint.sum(1, keepdim=True)
    terms = joint * (joint / apart.clamp_min(1e-300)).clamp_min(1e-300).log2()
    return terms.sum().item()


def expert_information(
    classes: Int[Tensor, " n"], experts: Int[Tensor, "n k"], c: int, e: int
) -> float:
    """I(class; expert) over all picks, in bits; at most the entropy of either.

    >>> classes = torch.tensor([0, 1, 0, 1])
    >>> expert_information(classes, classes[:, None], 2, 2)
    1.0
    """
    return information(joint_counts(classes, experts, c, e))


def shuffled_information(
    classes: Int[Tensor, " n"],
    experts: Int[Tensor, "n k"],
    c: int,
    e: int,
    *,
    draws: int = 20,
    generator: Generator | None = None,
) -> list[float]:
    """The same after the classes were dealt out anew, `draws` times: what picks that
    know nothing of the classes would show.

    Raises:
        ValueError: `draws` is below 1.
    """
    if draws < 1:
        raise ValueError(f"draws={draws}: allowed are 1 and more")
    order = (torch.randperm(len(classes), generator=generator) for _ in range(draws))
    return [expert_information(classes[i], experts, c, e) for i in order]
