"""What the solutions of the lab on hybrids are compared with in the library."""

HYBRIDS = {
    "price": """
from course_lib.search.space import Space
for pattern in ("a", "w", "d", "c", "cwdaad"):
    for tied in (True, False):
        sizes = Sizes(36, 6, 2, 8, 40, 50, 5, tied)
        options = dict(width=36, heads=6, kv_heads=2, head_dim=8, ffn=40, vocab=50, window=5, tied=tied)
        theirs = Space("awdc", len(pattern), context=33, **options).price(pattern)
        ours = price(pattern, sizes, 33)
        assert tuple(ours.values()) == (theirs.params, theirs.flops, theirs.cache_bytes), pattern
""",
    "budget": """
from course_lib.search.space import Budget, Price
for params in (9, 10, 11):
    theirs = Budget(params=10, flops=None).allows(Price(params=params, flops=5, cache_bytes=7))
    ours = exceeded({"params": params, "flops": 5, "cache_bytes": 7}, {"params": 10, "flops": None})
    assert theirs == (ours == [])
""",
    "every eighth layer": """
from course_lib.models.hybrids.stack import every_nth
sizes = Sizes(36, 6, 2, 8, 40, 50)
budget = {"cache_bytes": price(every_nth(8, 32, state="d"), sizes, 512)["cache_bytes"]}
assert design(sizes, 32, 512, budget) == every_nth(8, 32, state="d")
""",
    "interval": """
from course_lib.evaluate.intervals import paired_interval
first, second = {1: 1.1, 2: 2.1, 3: 3.2, 5: 0.3}, {5: 0.2, 3: 3.0, 1: 1.0, 2: 2.2}
theirs = paired_interval(list(first.values()), [second[seed] for seed in first])
for mine, own in zip(paired(first, second), (theirs.mean, theirs.low, theirs.high)):
    assert abs(mine - own) < 1e-12
""",
    "front and crowding": """
from random import Random
from optuna.samplers.nsgaii._elite_population_selection_strategy import _calc_crowding_distance
from optuna.trial import create_trial
from course_lib.decide.pareto import pareto_front
random = Random(4)
rows = {str(i): (random.randrange(6), random.randrange(6), random.random()) for i in range(30)}
assert front(rows) == list(pareto_front(rows))
pairs = [(random.random(), random.random()) for _ in range(9)]
trials = [create_trial(values=pair) for pair in pairs]
for number, trial in enumerate(trials):
    trial.number = number
theirs = _calc_crowding_distance(trials)
assert all(a == theirs[i] or abs(a - theirs[i]) < 1e-12 for i, a in enumerate(crowding(pairs)))
""",
    "search and its luck": """
from random import Random
from course_lib.search.searches import random_search as theirs, shrinkage
from course_lib.search.space import Space
space, random = Space("am", layers=5, context=16), Random(7)
scores = lambda pattern: (sum(map(ord, pattern)) % 17, pattern.count("a"))
found = random_search(lambda: space.draw(random), space.fits, lambda p: scores(p)[0], 12, 500)
assert found == {p: s[0] for p, s in theirs(space, scores, 12, seed=7).found.items()}
names = [str(i) for i in range(9)]
once, twice = ({name: Random(name + part).random() for name in names} for part in "ab")
got = chosen(once, lambda name, seed: twice[name], lambda name: 0.0, 4, [1])
assert abs(got["curse"] - shrinkage(list(once.values()), list(twice.values()), 4)) < 1e-12
""",
    "segment recurrence": """
from course_lib.layers.masks import CAUSAL
from course_lib.models.hybrids.segment_recurrence import segment_window
x = torch.randn(2, 12, 6).double()
weights = {name: torch.randn(6, 6).double() / 2 for name in "qkvo"}
memory, rows = x[:, :0], []
for piece in x.split(4, 1):
    y, memory = memory_attention(piece, memory, weights, 3)
    rows.append(y)
places = torch.arange(12)[None]
seen = (CAUSAL & segment_window(4, 3)).mask(places, places)
q, k, v = (x @ weights[name].mT for name in "qkv")
whole = (q @ k.mT / 6**0.5).masked_fill(~seen, -torch.inf).softmax(-1) @ v @ weights["o"].mT
torch.testing.assert_close(torch.cat(rows, 1), whole, rtol=1e-12, atol=1e-12)
""",
    "spikes": """
from course_lib.layers.spiking.lif import lif
x = torch.randn(3, 40, 5).double() + 0.4
for beta, threshold in ((0.0, 0.5), (0.8, 1.0), (1.0, 2.0)):
    theirs, _ = lif(x, beta, threshold)
    assert torch.equal(fire(x, beta, threshold), theirs)
""",
    "the runs of a variant": """
from course_lib.course.labs.lab09 import reporting, running
running.UPDATES, running.SEEDS = 2, (0, 1)
runs, whose = running.own_runs(globals())
assert whose == "your variant" and len(runs) == 8
theirs = list(running.runs_of(varying.Variant()))
assert [one["name"] for one in runs] == [one["name"] for one in theirs]
assert all(abs(a["loss"] - b["loss"]) < 1e-5 for a, b in zip(runs, theirs))
rows = numbers(runs)
assert rows["without memory"]["flops"] < rows["whole"]["flops"]
assert rows["without gate"]["params"] == rows["base"]["params"] == rows["whole"]["params"] - 256
reporting.check_report(report, runs=runs)
parts, run, seeds = running.looked_up(runs)
gap = ablate(parts, run, seeds)["memory"][0]
assert abs(gap - rows["without memory"]["loss"] + rows["whole"]["loss"]) < 1e-9
assert running.own_runs({"Variant": int})[1].startswith("the course's variant, for yours raises")
""",
    "ablation": """
from course_lib.evaluate.intervals import paired_interval
run = lambda parts, seed: seed * 0.1 + len(parts) ** 2 + seed**2 * 0.01 * ("b" in parts)
rows = ablate(("a", "b"), run, [1, 2, 4])
whole = [run(("a", "b"), seed) for seed in (1, 2, 4)]
theirs = paired_interval([run(("a",), seed) for seed in (1, 2, 4)], whole)
assert all(abs(x - y) < 1e-12 for x, y in zip(rows["b"], (theirs.mean, theirs.low, theirs.high)))
""",
}
