"""Training loop: AdamW, learning-rate schedule (warm-up, then down), gradient clipping,
and a state that resumes bit for bit.

The loop owns the only source of chance that batches come from: `batch_fn` receives its
generator. A saved state holds weights, optimiser, both random streams, the step and the
history, so a run that was interrupted ends in the same weights as one that was not. The
library prints nothing: pass `progress` to see it run.

Terms:
    training loop: batches, loss, gradients, updates, and a state that resumes bit for
        bit -> train
    AdamW: Adam with weight decay apart from the gradient -> train
    learning-rate schedule, learning rate, warm-up, cosine decay, linear decay: the
        step size rises in a straight line, then falls along a cosine or a line ->
        learning_rate
    gradient clipping: gradients are scaled down to a largest norm before an update ->
        train
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_lib.train.batches import Batch, target_count

AnyBatch = Batch | tuple[Tensor, Tensor]
Loss = Callable[[nn.Module, AnyBatch], Tensor]
FLOORS = {"cosine": 0.1, "linear": 0.0}  # share of the peak rate left at the end


@dataclass
class History:
    """What a run left behind.

    Attributes:
        losses: training loss of each step, before its update, nats a token.
        valid: number of updates done -> validation loss, nats a token.
    """

    losses: list[float] = field(default_factory=list)
    valid: dict[int, float] = field(default_factory=dict)


def next_token_loss(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    """Return the mean cross-entropy of `model(inputs)` [b t vocab] against targets [b
    t], nats a token.
    """
    inputs, targets = batch
    return F.cross_entropy(model(inputs).flatten(0, 1), targets.flatten())


def learning_rate(
    step: int,
    *,
    steps: int,
    peak: float,
    warmup: int,
    decay: str = "cosine",
    floor: float | None = None,
) -> float:
    """Return the rate of update `step` (0 is the first): a straight rise, then down
    along half a cosine or a straight line.

    *Equation*: for step < w: peak (step + 1) / w; after it, with x = (step - w) /
    (steps - w): peak (f + (1 - f) (1 + cos(pi x)) / 2), or peak (f + (1 - f) (1 - x)).

    Args:
        steps: updates in the whole run.
        peak: the highest rate, reached after `warmup` updates.
        decay: "cosine" or "linear".
        floor: f, the share of the peak that is left at the end; None takes 0.1 for the
            cosine and 0 for the line.
    Raises:
        ValueError: `decay` is another word.
    Source: cosine decay without restarts, Loshchilov and Hutter, arXiv 1608.03983, eq.
        5.

    >>> schedule = {"steps": 6, "peak": 1.0, "warmup": 2, "floor": 0.0}
    >>> [round(learning_rate(step, **schedule), 3) for step in range(6)]
    [0.5, 1.0, 1.0, 0.854, 0.5, 0.146]
    >>> [learning_rate(step, decay="linear", **schedule) for step in range(6)]
    [0.5, 1.0, 1.0, 0.75, 0.5, 0.25]
    """
    if decay not in FLOORS:
        raise ValueError(f"decay={decay!r}: allowed are {', '.join(FLOORS)}")
    if step < warmup:
        return peak * (step + 1) / warmup
    floor = FLOORS[decay] if floor is None else floor
    x = (step - warmup) / max(steps - warmup, 1)
    left = (1 + math.cos(math.pi * x)) / 2 if decay == "cosine" else 1 - x
    return peak * (floor + (1 - floor) * left)


def evaluate(
    model: nn.Module, batches: Iterable[AnyBatch], *, loss_fn: Loss = next_token_loss
) -> float:
    """Return the mean loss over all target tokens of `batches`, in eval mode and
    without gradients.

    Args:
        batches: (inputs, targets) pairs or `Batch`es; each counts by the targets its
            loss is a mean over.
        loss_fn: mean loss of one batch: `next_token_loss` for pairs, those of
            `train.batches` for a `Batch`.
    Returns:
        Nats a token. The model is left in the mode it came in.
    Raises:
        ValueError: if `batches` is empty.
    """
    was_training = model.training
    model.eval()
    total, count = 0.0, 0
    with torch.no_grad():
        for batch in batches:
            weight = target_count(batch)
            total += loss_fn(model, batch).item() * weight
            count += weight
    model.train(was_training)
    if count == 0:
        raise ValueError("batches=(): allowed is one or more with targets")
    return total / count


def train(
    model: nn.Module,
    batch_fn: Callable[[torch.Generator], AnyBatch],
    *,
    steps: int,
    lr: float,
    warmup: int | None = None,
    decay: str = "cosine",
    weight_decay: float = 0.1,
    clip: float = 1.0,
    seed: int = 0,
    loss_fn: Loss = next_token_loss,
    valid_fn: Callable[[nn.Module], float] | None = None,
    valid_every: int = 0,
    progress: Callable[[int, float], None] | None = None,
    checkpoint: str | Path | None = None,
    save_every: int = 100,
) -> History:
    """Train `model` in place for `steps` updates.

    Args:
        model: any module `loss_fn` can call; on its device already.
        batch_fn: draws one batch from the generator it is given, on the model's device.
        loss_fn: mean loss of one batch, as for `evaluate`.
        steps: updates in the whole run, at least 1.
        lr: peak rate of `learning_rate`; `warmup` is a tenth of the steps when None.
        decay: "cosine" to a tenth of the peak, or "linear" to zero.
        weight_decay: on tensors with two or more axes; norms and biases are spared.
        clip: largest gradient norm, over all parameters together.
        seed: of the generator that batches are drawn from.
        valid_fn: validation loss of the model, called before the first update, every
            `valid_every` updates (0: never in between) and after the last.
        progress: called after each update with the updates done and the loss; may raise
            to stop the run.
        checkpoint: file of a resumable state, written every `save_every` updates and at
            the end. A run whose file is there already continues from it.
    Returns:
        The `History` of the whole run, steps before a resume included.
    Raises:
        ValueError: if `steps` or `save_every` is below 1, `decay` is another word, or
        the file belongs to a run with other settings.
    Cost: FLOPs of three forward passes a step (backward is about two); AdamW keeps 2
        numbers a weight.
    Source: AdamW, Loshchilov and Hutter, arXiv 1711.05101; its betas are 0.9 and 0.95.
    """
    if steps < 1 or save_every < 1:
        raise ValueError(
            f"steps={steps}, save_every={save_every}: allowed is 1 or more of each"
        )
    warmup = max(1, steps // 10) if warmup is None else warmup
    settings = {
        "steps": steps,
        "lr": lr,
        "warmup": warmup,
        "decay": decay,
        "weight_decay": weight_decay,
        "clip": clip,
        "seed": seed,
    }
    run = _Run(
        model,
        _adamw(model, weight_decay),
        torch.Generator().manual_seed(seed),
        settings,
    )
    if checkpoint is not None and Path(checkpoint).exists():
        run.load(checkpoint)
    history = run.history
    if valid_fn is not None and not history.losses:
        history.valid[0] = valid_fn(model)
    for step in range(len(history.losses), steps):
        model.train()
        rate = learning_rate(step, steps=steps, peak=lr, warmup=warmup, decay=decay)
        history.losses.append(
            _update(run, loss_fn, batch_fn(run.generator), rate, clip)
        )
        done, last = step + 1, step + 1 == steps
        if valid_fn is not None and (last or (valid_every and done % valid_every == 0)):
            history.valid[done] = valid_fn(model)
        if checkpoint is not None and (last or done % save_every == 0):
            run.save(checkpoint)
        if progress is not None:
            progress(done, history.losses[-1])
    return history


@dataclass
class _Run:
    """Everything that decides the rest of a run."""

    model: nn.Module
    optimiser: torch.optim.Optimizer
    generator: torch.Generator
    settings: dict
    history: History = field(default_factory=History)

    def save(self, path: str | Path) -> None:
        """Write beside the target first, so that an interrupted write leaves the old
        state whole.
        """
        state = {
            "model": self.model.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "batches": self.generator.get_state(),
            "torch": torch.get_rng_state(),
            "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
            "settings": self.settings,
            "losses": self.history.losses,
            "valid": self.history.valid,
        }
        beside = Path(f"{path}.part")
        torch.save(state, beside)
        beside.replace(path)

    def load(self, path: str | Path) -> None:
        state = torch.load(path, weights_only=True, map_location="cpu")
        if state["settings"] != self.settings:
            raise ValueError(
                f"checkpoint={str(path)!r}: saved with {state['settings']}, allowed "
                f"is {self.settings}"
            )
        self.model.load_state_dict(state["model"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.generator.set_state(state["batches"])
        torch.set_rng_state(state["torch"])
        if torch.cuda.is_available() and state["cuda"]:
            torch.cuda.set_rng_state_all(state["cuda"])
        self.history.losses.extend(state["losses"])
        self.history.valid.update(state["valid"])


def _update(
    run: _Run, loss_fn: Loss, batch: AnyBatch, rate: float, clip: float
) -> float:
    for group in run.optimiser.param_groups:
        group["lr"] = rate
    loss = loss_fn(run.model, batch)
    run.optimiser.zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_(run.model.parameters(), clip)
    run.optimiser.step()
    return loss.item()


def _adamw(model: nn.Module, weight_decay: float) -> torch.optim.AdamW:
    trained = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in trained if p.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(
        [g for g in groups if g["params"]], lr=0.0, betas=(0.9, 0.95)
    )
