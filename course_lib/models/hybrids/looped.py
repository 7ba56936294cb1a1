"""Looped (recurrent-depth, Universal) Transformers: a few blocks run several times, so
that depth costs computation and no parameters; a gate may say when a token has had
enough.

Symbols: b batch, t tokens, d model width, l layers; a prelude, a core that runs r
times, a coda. Papers write T or R for r, lambda for the gate, q for the threshold.

    x <- coda(core(... core(prelude(x))))                    r visits of the core
    lambda_i = sigmoid(w . x_i)                              after visit i
    p_i = lambda_i prod over j < i of (1 - lambda_j)         the last one takes the rest
    exit at the first i at which p_1 + ... + p_i >= q

A core of all layers and r = 1 is an ordinary model. Each visit has keys and values of
its own, so the cache grows with visits, not with parameters.

Terms:
    looped Transformer, recurrent depth, LoopLM: the core of a stack runs r times with
        the same weights -> LoopedLM
    Universal Transformer: one block for every layer, told which step it is ->
        LoopedLM
    exit gate, adaptive depth, halting: a probability after each visit that a token
        leaves the loop there -> exit_distribution, exit_visit
    ACT, adaptive computation time, ponder cost: gates add up until they pass 1 ->
        act_weights
    expected loss over exits: losses after each visit, weighted by the chance to leave
        there, with an entropy term -> expected_loss
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from course_lib.layers.caches.contract import Cache
from course_lib.layers.caches.model_cache import ModelCache
from course_lib.layers.per_forward import PerForward
from course_lib.layers.positions.absolute import sinusoidal
from course_lib.models.block import build_blocks
from course_lib.models.embed import Embedding, checked_positions
from course_lib.models.layer_factory import (
    InitialScale,
    build_cache,
    build_norm,
    check_fields,
    initialise,
)
from course_lib.models.lm import Logits
from course_lib.specs.records import ModelSpec


class LoopedLM(nn.Module):
    """A causal model whose middle layers run several times.

    Args:
        spec: of the layers that have weights.
        core: (first, behind the last) of the layers that are looped; all when left out.
        loops: r, visits of the core.
        step_signal: whether each visit adds a sinusoid of its number to the stream, as
            the Universal Transformer does.
        exit_gate: whether there is a gate on the way out of the loop.
        std: the first scale of every matrix, as in `initialise`.

    Raises:
        ValueError: `core` is empty or not within the stack, `loops` is below 1, or the
        spec has a part beside a decoder's.

    *Cost*: parameters of l layers; FLOPs and cache of l + (r - 1) |core| layers.
    *Source*: Dehghani et al. 2018, arXiv:1807.03819 (one shared block); prelude, core
        and coda, Geiping et al. 2025, arXiv:2502.05171; the gate, Zhu et al. 2025,
        section 3, arXiv:2510.25741 (Ouro).

    >>> from course_lib.specs.small import small_llama
    >>> model = LoopedLM(small_llama(8, layers=3, heads=2), core=(1, 2), loops=4)
    >>> len(model.blocks), len(model.visits), model.visits
    (3, 6, [0, 1, 1, 1, 1, 2])
    """

    def __init__(
        self,
        spec: ModelSpec,
        *,
        core: tuple[int, int] | None = None,
        loops: int = 2,
        step_signal: bool = False,
        exit_gate: bool = False,
        std: InitialScale = "fan_in",
    ) -> None:
        super().__init__()
        depth = len(spec.layers)
        first, behind = (0, depth) if core is None else core
        if not 0 <= first < behind <= depth:
            raise ValueError(f"core={core}: allowed is a part of {depth} layers")
        if loops < 1:
            raise ValueError(f"loops={loops}: allowed are whole numbers from 1")
        plain = {"encoder": (), "head": "lm", "patches": None, "vision": None}
        check_fields(spec, plain | {"logit_softcap": None, "logit_scale": 1.0})
        self.spec, self.core, self.loops = spec, (first, behind), loops
        self.embed = Embedding(spec.vocab, spec.width, spec.embeddings)
        self.blocks = build_blocks(spec.width, spec.layers)
        self.final_norm = build_norm(spec.width, spec.final_norm)
        self.head = nn.Linear(spec.width, spec.vocab, bias=spec.embeddings.head_bias)
        if spec.embeddings.tied:
            self.head.weight = self.embed.tokens.weight
        self.step_signal = step_signal
        self.gate = nn.Linear(spec.width, 1) if exit_gate else None
        initialise(self, std)

    @property
    def visits(self) -> list[int]:
        """Which block runs, in order."""
        first, behind = self.core
        core = list(range(first, behind)) * self.loops
        return [*range(first), *core, *range(behind, len(self.blocks))]

    def forward(
        self,
        tokens: Int[Tensor, "b t"],
        positions: Int[Tensor, "b t"] | None = None,
        cache: ModelCache | None = None,
        *,
        threshold: float | None = None,
    ) -> Logits:
        """Score the vocabulary after each token.

        Args:
            tokens, positions, cache: as in `CausalLM`; one cache a visit.
            threshold: q; each token goes on with the vector of its exit. All visits
                are computed here: `exit_visit` says which a server could leave out.

        Raises:
            ValueError: `threshold` is given and there is no gate; else as `CausalLM`.
        """
        if threshold is not None and self.gate is None:
            raise ValueError(f"threshold={threshold}: this model has no exit gate")
        if cache is not None and len(cache) != len(self.visits):
            raise ValueError(
                f"cache has {len(cache)} layers: this model has {len(self.visits)} "
                "visits"
            )
        start = 0 if cache is None else cache.length
        places = checked_positions(tokens, positions, start)
        own = [None] * len(self.visits) if cache is None else list(cache)
        coda = len(self.blocks) - self.core[1]
        states = self.states(tokens, places, own[: len(own) - coda])
        x = states[-1]
        if threshold is not None:
            chosen = exit_visit(self.exits(states), threshold)[None, ..., None]
            x = states.gather(0, chosen.expand(1, *states.shape[1:]))[0]
        return self.finish(x, places, own[len(own) - coda :])

    def states(
        self,
        tokens: Int[Tensor, "b t"],
        positions: Int[Tensor, "b t"],
        caches: list[Cache | None] | None = None,
    ) -> Float[Tensor, "r b t d"]:
        """The stream after each visit of the core."""
        (first, behind), shared = self.core, PerForward(tokens, positions)
        own = iter([None] * len(self.visits) if caches is None else caches)
        x, states = self.embed(tokens, positions), []
        for block in self.blocks[:first]:
            x = block(x, positions, next(own), shared)
        for visit in range(self.loops):
            if self.step_signal:
                step = torch.full_like(positions[:1, :1], visit)
                x = x + sinusoidal(step, x.shape[-1], dtype=x.dtype).to(x.device)
            for block in self.blocks[first:behind]:
                x = block(x, positions, next(own), shared)
            states.append(x)
        return torch.stack(states)

    def exits(self, states: Float[Tensor, "r b t d"]) -> Float[Tensor, "r b t"]:
        """The chance of each token to leave after each visit."""
        return exit_distribution(torch.sigmoid(self.gate(states)[..., 0]))

    def finish(
        self,
        x: Float[Tensor, "b t d"],
        positions: Int[Tensor, "b t"],
        caches: list[Cache | None] | None = None,
    ) -> Logits:
        """The coda and the head, behind any visit."""
        coda, shared = self.blocks[self.core[1] :], PerForward()
        caches = [None] * len(coda) if caches is None else caches
        for block, own in zip(coda, caches, strict=True):
            x = block(x, positions, own, shared)
        return self.head(self.final_norm(x))

    def make_cache(self, batch: int, capacity: int) -> ModelCache:
        """An empty cache with keys and values of each visit."""
        layers = [self.spec.layers[block] for block in self.visits]
        return build_cache(self.spec.width, layers, batch, capacity, self.head.weight)


def exit_distribution(gates: Float[Tensor, "r *axes"]) -> Float[Tensor, "r *axes"]:
    """From the chance to leave once there, to the chance to leave there.

    *Equation*: p_i = lambda_i prod over j < i of (1 - lambda_j); p_r is what is left.

    >>> exit_distribution(torch.tensor([0.5, 0.5, 0.1]))
    tensor([0.5000, 0.2500, 0.2500])
    """
    stays = (1 - gates[:-1]).cumprod(0)
    reached = torch.cat([torch.ones_like(gates[:1]), stays])
    return torch.cat([reached[:-1] * gates[:-1], reached[-1:]])


def exit_visit(
    chances: Float[Tensor, "r *axes"], threshold: float
) -> Int[Tensor, "*axes"]:
    """The first visit by which a token has left with probability q; the last at most.

    >>> exit_visit(torch.tensor([0.5, 0.25, 0.25]), 0.7).item()
    1
    """
    enough = chances.cumsum(0)[:-1] >= threshold
    return (~enough).sum(0)


def act_weights(
    gates: Float[Tensor, "r *axes"], eps: float = 0.01
) -> tuple[Float[Tensor, "r *axes"], Int[Tensor, "*axes"]]:
    """Adaptive computation time, as the Universal Transformer halts: gates add up until
    they pass 1 - eps, and the visit at which they do takes what is left of 1.

    *Equation*: N = the first n with lambda_1 + ... + lambda_n >= 1 - eps, r at most;
        weights lambda_i for i < N, 1 minus their sum at N, 0 behind.

    Returns:
        weights, with which the vectors after the visits are summed up, and N. Training
        adds N + weight_N, the ponder cost, of which only the second part has a slope.

    *Source*: Graves 2016, arXiv:1603.08983; Dehghani et al. 2018,
        arXiv:1807.03819.

    >>> weights, visits = act_weights(torch.tensor([0.5, 0.4, 0.3, 0.2]))
    >>> [round(x, 2) for x in weights.tolist()], visits.item()
    ([0.5, 0.4, 0.1, 0.0], 3)
    """
    before = gates.cumsum(0) - gates
    running = before < 1 - eps
    visits = running.sum(0)
    last = torch.arange(len(gates), device=gates.device) + 1
    last = last.view(-1, *[1] * visits.ndim) == visits
    return torch.where(last, 1 - before, gates * running), visits


def expected_loss(
    losses: Float[Tensor, "r *axes"],
    chances: Float[Tensor, "r *axes"],
    entropy_weight: float = 0.0,
) -> Float[Tensor, ""]:
    """What a gate is trained with: losses after each visit, weighted by the chance to
    leave there, minus an entropy, so that it does not settle at once.

    *Equation*: mean of sum_i p_i L_i - beta H(p).
    *Source*: Zhu et al. 2025, section 3, arXiv:2510.25741.
    """
    tiny = torch.finfo(chances.dtype).tiny  # its slope stays finite at 0
    entropy = -(chances * chances.clamp(min=tiny).log()).sum(0)
    return ((chances * losses).sum(0) - entropy_weight * entropy).mean()
