"""Lab 4, stretch task: experts that choose their tokens, and what a token then sees.

Symbols: n tokens in order, e experts, C tokens an expert takes.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from course_lib.course.labs.checking import Checker, random_sizes
from course_lib.course.labs.lending import strided

HINTS = {
    "table": "Return weights [n e]: 0 where an expert did not take a token.",
    "tokens": "Each expert takes C tokens: the largest along the token axis.",
    "softmax": "The weights are each token's softmax over the experts, as they are.",
    "few": "An expert cannot take more tokens than there are.",
    "future": "Look at what the router gives the tokens before `t`, once as it is and "
    "once with other logits from `t` on.",
    "share": "A share: tokens before `t` whose weights changed, over t.",
    "start": "Before t = 0 there is no token: 0.0.",
    "twice": "Compare two runs of the same router on copies.",
    "any": "A token has changed if any of its e weights has.",
}
CHECK = Checker("Stretch", HINTS)


def chosen(logits: Tensor, capacity: int) -> Tensor:
    """Expert choice: each expert takes the `capacity` tokens that want it most."""
    p = logits.softmax(1)
    picks = p.topk(min(capacity, len(p)), dim=0).indices
    return torch.zeros_like(p).scatter(0, picks, p.gather(0, picks))


def check(expert_choice: Callable, changed_past: Callable, seed: int = 0) -> str:
    """Check `expert_choice(logits, capacity) -> [n e]` and
    `changed_past(route, logits, other, t) -> float`.

    Raises: CheckFailed with the hint that fits; NotImplementedError while a part is
        missing.
    """
    rng, size = random_sizes(seed, n=(7, 12), e=(3, 5), C=(2, 3))
    n, e = size["n"], size["e"]
    for rows, capacity in ((n, size["C"]), (n, 1), (2, 3), (1, 1)):
        logits = 2 * torch.randn(rows, e, generator=rng).double()
        told = f"expert_choice of {rows} tokens, capacity {capacity}"
        crash = "few" if capacity > rows else "crash"
        lent = strided(logits), capacity
        got = CHECK.call(expert_choice, *lent, what=told, crash=crash)
        p = logits.softmax(1)
        picks = p.topk(min(capacity, e), dim=1).indices
        by_token = torch.zeros_like(p).scatter(1, picks, p.gather(1, picks))
        turned = logits.softmax(0)
        right = chosen(logits, capacity)
        wrong = {
            "tokens": by_token,
            "softmax": turned * (right > 0),
            "softmax ": (right > 0).double(),
        }
        ones = right / right.sum(1, keepdim=True).clamp(min=1e-300)
        formed = isinstance(got, Tensor) and got.shape == right.shape
        for other in (wrong.pop("softmax "), ones):
            if formed and torch.allclose(got.double(), other):
                wrong["softmax"] = other
        named = {h: w for h, w in wrong.items() if not torch.allclose(w, right)}
        CHECK.close(got, right, "compare", told, named, "table")
    _check_changed(changed_past, rng, n, e)
    return "Stretch: what experts choose, the future can take away."


def _check_changed(
    changed_past: Callable, rng: torch.Generator, n: int, e: int
) -> None:
    def alone(logits: Tensor) -> Tensor:
        return logits.softmax(1)

    def before(logits: Tensor) -> Tensor:
        return logits.cumsum(0).softmax(1)

    def whole(logits: Tensor) -> Tensor:
        return (logits - logits.mean(0)).softmax(1)

    def following(logits: Tensor) -> Tensor:
        return (logits + logits.roll(-1, 0)).softmax(1)

    def last(logits: Tensor) -> Tensor:
        p = logits.softmax(1)
        return torch.cat([p[:, :-1], p[:, -1:] + (p[-1, -1] * (p[:, -1:] > 0.3))], 1)

    routes = {"a token's own": alone, "the past's": before, "all tokens'": whole}
    routes |= {
        "the next": following,
        "the last's": last,
        "expert choice": lambda x: chosen(x, 2),
    }
    for name, route in routes.items():
        for t in (0, 1, n // 2, n - 1, n):
            logits, other = torch.randn(2, n, e, generator=rng).double()
            mixed = torch.cat([logits[:t], other[t:]])
            moved = (route(mixed)[:t] != route(logits)[:t]).any(1)
            right = float(moved.double().mean()) if t else 0.0
            told = f"changed_past of a router that sees {name} logits, t = {t}"
            crash = "start" if t == 0 else "crash"
            given = strided(logits), strided(other), t
            got = CHECK.call(changed_past, route, *given, what=told, crash=crash)
            everywhere = (route(mixed) != route(logits)).any(1).double()
            entries = (route(mixed)[:t] != route(logits)[:t]).double()
            mistakes = {
                "share": float(everywhere.mean()),
                "any": float(entries.mean()) if t else 1.0,
                "future": float(
                    (route(other)[:t] != route(logits)[:t]).any(1).double().mean()
                )
                if t
                else 1.0,
            }
            named = {h: w for h, w in mistakes.items() if abs(w - right) > 1e-9}
            default = "share" if t else "start"
            if type(got) is float and abs(got - right) < 1e-6:
                got = right  # the mean of a float32 mask is a share, too
            if right:
                CHECK.near(got, right, default, told, named)
            else:
                CHECK.equal(got, 0.0, default, told, named)
