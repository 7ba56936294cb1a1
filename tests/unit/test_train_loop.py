"""The loop learns, reports, and resumes to the same bits."""

import itertools
import math

import pytest
import torch
from torch import nn

from course_lib.tasks.corpora import as_tokens, blocks, sample
from course_lib.train import loop
from course_lib.train.batches import Batch, language_loss
from course_lib.train.objectives import causal_batch

TEXT = as_tokens("the quick brown fox jumps over the lazy dog. " * 20)


class Bigram(nn.Module):
    """Two bytes of context through a small net, with dropout so that the global stream matters too."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.embed = nn.Embedding(256, 16)
        self.norm = nn.LayerNorm(16)
        self.drop = nn.Dropout(0.2)
        self.head = nn.Linear(16, 256)

    def forward(self, tokens, positions=None):
        return self.head(self.drop(self.norm(self.embed(tokens))))


def draw(generator):
    return sample(TEXT, 4, 12, generator)


def run(model, **changes):
    torch.manual_seed(1)
    return loop.train(model, draw, **({"steps": 30, "lr": 1e-2} | changes))


def test_the_loss_falls_to_what_a_bigram_can_know():
    model = Bigram()
    history = run(model, steps=300)
    assert len(history.losses) == 300
    assert history.losses[0] > 4.5 and sum(history.losses[-20:]) / 20 < 1.5


def test_one_seed_gives_one_run():
    a, b, c = Bigram(), Bigram(), Bigram()
    assert run(a).losses == run(b).losses != run(c, seed=1).losses
    assert all(torch.equal(x, y) for x, y in zip(a.parameters(), b.parameters(), strict=True))


class Stop(Exception):
    """The machine is switched off."""


def stop_after(limit):
    def progress(done, loss):
        if done == limit:
            raise Stop

    return progress


@pytest.mark.parametrize("limit", [10, 14, 29])
def test_an_interrupted_run_ends_in_the_same_bits(tmp_path, limit):
    def options():
        batches = blocks(TEXT, 8, 12, limit=2)
        return {"valid_fn": lambda m: loop.evaluate(m, batches), "valid_every": 7, "save_every": 5}

    whole, broken = Bigram(), Bigram()
    expected = run(whole, **options())
    file = tmp_path / "state.pt"
    with pytest.raises(Stop):
        run(broken, checkpoint=file, progress=stop_after(limit), **options())
    torch.manual_seed(77)  # a new process starts with other weights and another stream
    fresh = Bigram()
    nn.init.normal_(fresh.embed.weight)
    torch.manual_seed(99)
    found = loop.train(fresh, draw, steps=30, lr=1e-2, checkpoint=file, **options())
    assert found == expected
    assert all(torch.equal(x, y) for x, y in zip(whole.parameters(), fresh.parameters(), strict=True))


def test_a_finished_run_is_not_run_again(tmp_path):
    model = Bigram()
    first = run(model, checkpoint=tmp_path / "s.pt")
    weights = model.head.weight.clone()
    assert run(model, checkpoint=tmp_path / "s.pt") == first
    assert torch.equal(model.head.weight, weights)
    assert [f.name for f in tmp_path.iterdir()] == ["s.pt"]


@pytest.mark.parametrize(
    "other", [{"lr": 2e-2}, {"steps": 31}, {"warmup": 9}, {"weight_decay": 0.2}, {"clip": 0.5}, {"seed": 1}]
)
def test_a_state_of_another_run_is_refused(tmp_path, other):
    run(Bigram(), checkpoint=tmp_path / "s.pt")
    with pytest.raises(ValueError, match="checkpoint="):
        run(Bigram(), checkpoint=tmp_path / "s.pt", **other)


def test_an_interrupted_write_leaves_the_old_state_whole(tmp_path, monkeypatch):
    options = {"checkpoint": tmp_path / "s.pt", "save_every": 5}
    with pytest.raises(Stop):
        run(Bigram(), progress=stop_after(7), **options)
    before = options["checkpoint"].read_bytes()

    def half(state, path):
        path.write_bytes(b"half")
        raise Stop

    monkeypatch.setattr(torch, "save", half)
    with pytest.raises(Stop):
        run(Bigram(), **options)
    assert options["checkpoint"].read_bytes() == before


def test_each_step_trains_whatever_mode_validation_leaves():
    modes = []

    def spy(model, batch):
        modes.append(model.training)
        return loop.next_token_loss(model, batch)

    run(Bigram().eval(), steps=4, loss_fn=spy, valid_fn=lambda m: float(m.eval().training), valid_every=1)
    assert modes == [True] * 4


def test_the_warm_up_is_a_tenth_of_the_steps_and_at_least_one(monkeypatch):
    seen = set()
    monkeypatch.setattr(loop, "learning_rate", lambda step, *, peak, **found: seen.add(tuple(found.items())))
    for steps in (3, 30):
        with pytest.raises(TypeError):  # there is no rate
            run(Bigram(), steps=steps)
    assert {(dict(found)["steps"], dict(found)["warmup"]) for found in seen} == {(3, 1), (30, 3)}


def test_a_linear_decay_ends_at_zero_and_the_choice_reaches_the_updates():
    line = [loop.learning_rate(s, steps=100, peak=2.0, warmup=10, decay="linear") for s in range(101)]
    assert line[9] == 2.0 and line[55] == 1.0 and line[100] == 0.0
    moved = {}
    for decay in ("linear", "cosine"):
        torch.manual_seed(0)
        model = Bigram()
        run(model, steps=8, lr=0.1, decay=decay)
        moved[decay] = torch.cat([p.detach().flatten() for p in model.parameters()])
    assert not torch.equal(moved["linear"], moved["cosine"])
    with pytest.raises(ValueError, match="decay='step'"):
        run(Bigram(), steps=8, lr=0.1, decay="step")


def test_a_run_is_adamw_written_out():
    ours, plain = nn.Linear(3, 2, bias=False).double(), nn.Linear(3, 2, bias=False).double()
    plain.load_state_dict(ours.state_dict())
    inputs = torch.randn(5, 4, 3).double()
    batches = iter(inputs)

    def loss(model, batch):
        return model(batch[0]).square().mean()

    loop.train(ours, lambda g: (next(batches),) * 2, steps=5, lr=0.1, warmup=2, loss_fn=loss, clip=1e9)
    first, second = torch.zeros(2, 3).double(), torch.zeros(2, 3).double()
    for step, batch in enumerate(inputs):
        rate = loop.learning_rate(step, steps=5, peak=0.1, warmup=2)
        (grad,) = torch.autograd.grad(loss(plain, (batch,)), plain.weight)
        first, second = 0.9 * first + 0.1 * grad, 0.95 * second + 0.05 * grad**2
        mean, size = first / (1 - 0.9 ** (step + 1)), second / (1 - 0.95 ** (step + 1))
        with torch.no_grad():
            plain.weight -= rate * (mean / (size.sqrt() + 1e-8) + 0.1 * plain.weight)
    torch.testing.assert_close(ours.weight, plain.weight, rtol=1e-12, atol=1e-12)


def test_validation_runs_before_between_and_after():
    assert list(run(Bigram(), steps=7, valid_fn=lambda m: 1.0, valid_every=3).valid) == [0, 3, 6, 7]
    assert list(run(Bigram(), steps=6, valid_fn=lambda m: 1.0, valid_every=3).valid) == [0, 3, 6]
    assert list(run(Bigram(), steps=6, valid_fn=lambda m: 1.0).valid) == [0, 6]
    assert run(Bigram(), steps=6).valid == {}


def test_progress_hears_each_update_and_the_library_is_silent(capsys):
    heard = []
    history = run(Bigram(), steps=4, progress=lambda done, loss: heard.append((done, loss)))
    assert heard == list(enumerate(history.losses, start=1))
    assert capsys.readouterr() == ("", "")


def test_evaluate_weighs_by_targets_and_restores_the_mode():
    model = Bigram()
    pairs = blocks(TEXT, 5, 12)
    assert len(pairs[-1][0]) != len(pairs[0][0])
    everything = (torch.cat([x for x, _ in pairs]), torch.cat([y for _, y in pairs]))
    model.train()
    found = loop.evaluate(model, pairs)
    assert model.training
    model.eval()
    # float32 sums in another order: the last digits differ
    assert found == pytest.approx(loop.next_token_loss(model, everything).item(), rel=1e-6)
    assert not model.train(False).training and loop.evaluate(model, pairs) == found and not model.training


def test_evaluate_keeps_no_graph():
    seen = []
    loop.evaluate(
        Bigram(),
        [(TEXT[None, :4], TEXT[None, 1:5])],
        loss_fn=lambda model, batch: seen.append(loop.next_token_loss(model, batch)) or seen[0],
    )
    assert not seen[0].requires_grad


def test_the_rate_rises_then_falls_to_its_floor():
    rates = [loop.learning_rate(s, steps=100, peak=2.0, warmup=10, floor=0.1) for s in range(101)]
    assert rates[0] == pytest.approx(0.2) and rates[9] == rates[10] == 2.0
    assert rates[100] == pytest.approx(0.2) and rates[55] == pytest.approx(1.1)
    assert all(a > b for a, b in itertools.pairwise(rates[10:]))
    assert loop.learning_rate(5, steps=5, peak=2.0, warmup=5) == 2.0


def test_gradients_are_clipped_together():
    model = nn.Linear(3, 1, bias=False)
    seen = {}

    def spy(module, batch):
        return 1e6 * module(batch[0]).sum()

    def progress(done, loss):
        seen["norm"] = model.weight.grad.norm().item()

    loop.train(
        model, lambda g: (torch.ones(2, 3),) * 2, steps=1, lr=0.1, clip=0.5, loss_fn=spy, progress=progress
    )
    assert seen["norm"] == pytest.approx(0.5, rel=1e-4)  # torch divides by norm + 1e-6


def test_only_matrices_decay():
    model = nn.LayerNorm(4)
    model.matrix = nn.Parameter(torch.ones(2, 2))

    def no_gradient(module, batch):
        return 0.0 * sum(p.sum() for p in module.parameters())

    loop.train(model, lambda g: (torch.ones(1),) * 2, steps=1, lr=0.1, weight_decay=0.5, loss_fn=no_gradient)
    assert torch.equal(model.weight, torch.ones(4))
    assert torch.allclose(model.matrix, torch.full((2, 2), 1 - 0.1 * 0.5))


def test_a_step_trains_whatever_mode_validation_left():
    model, modes = nn.Linear(2, 1), []

    def loss(module, batch):
        modes.append(module.training)
        return module(batch[0]).sum()

    def validate(module):
        module.eval()
        return 0.0

    batch = (torch.ones(1, 2),) * 2
    loop.train(model, lambda g: batch, steps=3, lr=0.1, loss_fn=loss, valid_fn=validate, valid_every=1)
    assert modes == [True] * 3


def test_frozen_weights_stay():
    model = Bigram()
    model.embed.weight.requires_grad_(False)
    before = model.embed.weight.clone()
    run(model, steps=3)
    assert torch.equal(model.embed.weight, before)


def test_the_loss_is_nats_a_token():
    uniform = nn.Embedding(256, 256)
    nn.init.zeros_(uniform.weight)
    assert loop.evaluate(uniform, blocks(TEXT, 2, 10)) == pytest.approx(math.log(256), rel=1e-6)


def test_bad_input_names_the_argument():
    with pytest.raises(ValueError, match="steps=0"):
        run(Bigram(), steps=0)
    with pytest.raises(ValueError, match="save_every=0"):
        run(Bigram(), save_every=0)
    with pytest.raises(ValueError, match="batches="):
        loop.evaluate(Bigram(), [])


def test_evaluate_weighs_a_masked_batch_by_what_counts():
    """Two batches with 3 and 1 counted targets: the mean is over the 4."""
    model = Bigram().eval()
    tokens = TEXT[:24].view(2, 12)
    masks = torch.zeros(2, 2, 11, dtype=torch.bool)
    masks[0, 0, :3] = masks[1, 1, 5] = True
    apart = [Batch(tokens[:, :-1], tokens[:, 1:], mask) for mask in masks]
    together = Batch(*(torch.cat([a, b]) for a, b in zip(apart[0][:3], apart[1][:3], strict=True)))
    # float32 sums in another order: the last digits differ
    expected = language_loss(model, together).item()
    assert loop.evaluate(model, apart, loss_fn=language_loss) == pytest.approx(expected, rel=1e-6)


def test_a_masked_batch_trains():
    def batch(generator):
        return causal_batch(
            torch.stack([TEXT[i : i + 13] for i in torch.randint(800, (4,), generator=generator)])
        )

    history = loop.train(Bigram(), batch, steps=200, lr=1e-2, loss_fn=language_loss)
    assert history.losses[0] > 4.5 and sum(history.losses[-20:]) / 20 < 2
