"""Lab 1, stretch task: GLM's blank infilling: spans taken out of a text and generated
after it, in any order.

Symbols: part A the text with one MASK for each span; part B the spans, each behind a
    START. A token has two
positions: its place (in part A, or that of the span's MASK) and its place within the
span (0 in part A).
"""

import torch

from course_lib.course.labs.checking import Checker, random_sizes

HINTS = {
    "part_a": "Part A is the text with one MASK in the place of each span, in the "
    "order of the text.",
    "part_b": "Part B holds the spans in the order given, "
    "each as START and its tokens.",
    "targets": "In part B the target of START is the span's first token, and of its "
    "last token END.",
    "place": "A token of part B has the place of its span's MASK in part A, all "
    "tokens the same.",
    "within": "Within a span START has 1, the first token 2, and so on; part A has 0.",
    "mask_a": "Part A reads all of part A, and nothing of part B.",
    "mask_b": "Part B reads all of part A, and part B up to itself.",
    "output": "Return the four lists and the mask as a bool tensor [n n].",
}
CHECK = Checker("Stretch", HINTS)


def check(blank_infilling, seed: int = 0) -> str:
    """Check the stretch task: `blank_infilling(tokens, spans, order, mask, start,
    end)`, which returns (inputs, targets, places, within, visible).

    Raises: CheckFailed with the hint that fits; NotImplementedError while it is
        missing.
    """
    rng, size = random_sizes(seed, n=(10, 13), first=(1, 2))
    tokens = torch.randint(100, 200, (size["n"],), generator=rng).tolist()
    first = size["first"]
    for spans, order in (
        ([(first, 2), (first + 4, 3)], [0, 1]),
        ([(first, 2), (first + 4, 3)], [1, 0]),
        ([(0, 1), (2, 2), (6, len(tokens) - 6)], [2, 0, 1]),
        ([(first, 1)], [0]),
    ):
        what = f"spans {spans} in order {order}"
        given = tokens, spans, order, 901, 902, 903
        got = CHECK.call(blank_infilling, *given, what=what)
        five = isinstance(got, tuple) and len(got) == 5
        CHECK.true(five, "output", what, "five things", type(got).__name__)
        inputs, targets, places, within, visible = got
        right = _laid_out(tokens, spans, order)
        a = len(tokens) - sum(length - 1 for _, length in spans)
        CHECK.equal(list(inputs[:a]), right[0][:a], "part_a", f"part A, {what}")
        CHECK.equal(list(inputs[a:]), right[0][a:], "part_b", f"part B, {what}")
        CHECK.equal(list(targets), right[1], "targets", f"targets of part B, {what}")
        CHECK.equal(list(places), right[2], "place", f"places, {what}")
        CHECK.equal(list(within), right[3], "within", f"places within the span, {what}")
        n = len(right[0])
        kind = getattr(visible, "dtype", type(visible).__name__)
        formed = kind == torch.bool and visible.shape == (n, n)
        CHECK.true(formed, "output", "visible", f"bool [{n} {n}]", kind)
        seen = torch.ones(n, n, dtype=torch.bool).tril()
        seen[:, :a] = True
        CHECK.close(
            visible[:a].long(), seen[:a].long(), "mask_a", f"what part A reads, {what}"
        )
        CHECK.close(
            visible[a:].long(), seen[a:].long(), "mask_b", f"what part B reads, {what}"
        )
    return "Stretch: one model that reads both ways and writes one way."


def _laid_out(
    tokens: list[int], spans: list[tuple[int, int]], order: list[int]
) -> tuple[list[int], ...]:
    """Built token by token: inputs, targets of part B, places, places within the
    span.
    """
    hidden = {
        start + i: j for j, (start, length) in enumerate(spans) for i in range(length)
    }
    part_a, at = [], {}
    for place, token in enumerate(tokens):
        if place not in hidden:
            part_a.append(token)
        elif hidden[place] not in at:
            at[hidden[place]] = len(part_a)
            part_a.append(901)
    inputs, targets = list(part_a), []
    places, within = list(range(len(part_a))), [0] * len(part_a)
    for j in order:
        start, length = spans[j]
        span = tokens[start : start + length]
        inputs += [902, *span]
        targets += [*span, 903]
        places += [at[j]] * (length + 1)
        within += list(range(1, length + 2))
    return inputs, targets, places, within
