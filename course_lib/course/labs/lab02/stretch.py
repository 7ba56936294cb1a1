"""Lab 2, stretch task: the backward pass of attention from what the forward pass kept.

Symbols: t queries, n keys, P weights [t n], dy the gradient of the output [t v], lse
the log of the sum of exp(score) [t]. P = exp(score - lse) is made again, not kept.
"""

import torch

from course_lib.course.labs.checking import Checker, random_sizes
from course_lib.course.labs.lending import strided

HINTS = {
    "weights": "The weights come back from the scores and lse alone: P = exp(q . k / "
    "sqrt(k) - lse).",
    "values": "y = P V, so dV = P^T dy.",
    "softmax": "Through the softmax: dS = P * (dP - D), with dP = dy V^T and D = "
    "sum(dy * y) of each query.",
    "delta": "D is one number a query: the row sum of dy * y, which equals the row "
    "sum of P * dP.",
    "scale": "The scores hold 1 / sqrt(k), so dq and dk do too.",
    "transposed": "dq = dS k and dk = dS^T q, each over sqrt(k).",
    "output": "Return (dq, dk, dv), each of the shape of q, k and v. Autograd is off "
    "in this check.",
}
CHECK = Checker("Stretch", HINTS)


def check(attention_backward, seed: int = 0) -> str:
    """Check the stretch task: `attention_backward(q, k, v, y, lse, dy) -> (dq, dk,
    dv)`.

    Raises: CheckFailed with the hint that fits; NotImplementedError while it is
        missing.
    """
    rng, size = random_sizes(seed, t=(3, 5), n=(6, 9), k=(3, 5), v=(6, 7))
    q, k = (
        torch.randn(size[rows], size["k"], generator=rng).double()
        for rows in ("t", "n")
    )
    v = torch.randn(size["n"], size["v"], generator=rng).double()
    dy = torch.randn(size["t"], size["v"], generator=rng).double()
    leaves = [x.clone().requires_grad_() for x in (q, k, v)]
    scores = leaves[0] @ leaves[1].T / size["k"] ** 0.5
    y = scores.softmax(-1) @ leaves[2]
    expected = torch.autograd.grad(y, leaves, dy)
    given = q, strided(k), v, y.detach(), scores.logsumexp(-1).detach(), strided(dy)
    with torch.no_grad():
        got = CHECK.call(
            attention_backward, *given, what="attention_backward", crash="output"
        )
    CHECK.true(
        isinstance(got, tuple) and len(got) == 3,
        "output",
        "attention_backward",
        "(dq, dk, dv)",
        type(got).__name__,
    )
    p = scores.softmax(-1).detach()
    dp, scale = dy @ v.T, size["k"] ** -0.5
    CHECK.close(
        got[2],
        expected[2],
        "values",
        "dv",
        {"weights": torch.exp(scores.detach()).T @ dy},
    )
    for place, (name, other) in enumerate((("dq", k), ("dk", q))):
        mistakes = {}
        for hint, ds in {
            "softmax": p * dp,
            "delta": p * (dp - (dy @ v.T).sum(-1, keepdim=True)),
            "scale": p * (dp - (dy * y.detach()).sum(-1, keepdim=True)) / scale,
        }.items():
            mistakes[hint] = (ds if place == 0 else ds.T) @ other * scale
        CHECK.close(got[place], expected[place], "transposed", name, mistakes)
    return "Stretch: the gradients are autograd's, and no weight was kept."
