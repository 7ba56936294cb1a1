"""Does a language model that is given a graph need its edges?

Pointer chasing (`tasks.pointers`): six nodes with a colour, each of which points to
another one; one of them is marked. The text is a number of steps, 1 or 2; the next
token has to be the colour of the node that is reached from the marked one. Message
passing makes node states, four learned queries attend to them, and what they find
stands before the text of a small causal model: one block of width 32.

    edges          two rounds of message passing along the edges
    one round      half of the rounds, and fewer parameters by those of one layer
    no edges       two rounds in which nobody hears of anybody: a set of nodes
    all edges      everybody hears of everybody: an encoder without positions

All but the second have the same parameters. Batches of 32 graphs.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_lib.models.hybrids.graph_prompt import GraphPromptLM
from course_lib.models.lm import CausalLM
from course_lib.specs.small import small_llama
from course_lib.tasks.pointers import edges_of, pointer_chasing
from course_lib.train.batches import Batch, seq2seq_loss
from course_lib.train.experiment import Experiment, Task

NODES, COLOURS, STEPS, GRAPHS, TESTED, WIDTH = 6, 4, 2, 32, 512, 32
VOCAB = STEPS + COLOURS


class Reader(nn.Module):
    """The model behind a batch's interface: `source` is [b 3n], the marks, colours and
    pointers of each graph; the inputs are the question.
    """

    def __init__(self, kind: str, rounds: int = 2) -> None:
        super().__init__()
        model = CausalLM(small_llama(WIDTH, layers=1, vocab=VOCAB))
        self.kind = kind
        self.reader = GraphPromptLM(model, 1 + COLOURS, rounds=rounds)

    def forward(self, source: Tensor, inputs: Tensor, places: None = None) -> Tensor:
        marked, colours, points_to = source.unflatten(1, (3, NODES)).unbind(1)
        told = marked[..., None], F.one_hot(colours, COLOURS)
        nodes = torch.cat(told, -1).to(self.reader.queries.dtype)
        return self.reader.read_many(nodes, self.edges(points_to), inputs)

    def edges(self, points_to: Tensor) -> Tensor:
        """What this variant is told of who points to whom."""
        if self.kind == "no edges":
            return edges_of(points_to)[:, :0]
        if self.kind == "all edges":
            away = [(torch.arange(NODES) + i) % NODES for i in range(1, NODES)]
            each = [edges_of(to.expand_as(points_to)) for to in away]
            return torch.cat(each, 1).to(points_to.device)
        return edges_of(points_to)


def drawn(generator: torch.Generator, graphs: int = GRAPHS) -> Batch:
    """Graphs and questions as tokens; the loss is on the answer alone."""
    found = pointer_chasing(
        graphs, generator, nodes=NODES, colours=COLOURS, most_steps=STEPS
    )
    marked = F.one_hot(found.asked, NODES)
    source = torch.cat([marked, found.colours, found.points_to], 1)
    asked, answers = (found.steps - 1)[:, None], (STEPS + found.answers)[:, None]
    return Batch(asked, answers, torch.ones_like(asked) > 0, source=source)


HELD_OUT = [drawn(torch.Generator().manual_seed(99), TESTED)]


@torch.no_grad()
def share_right(model: nn.Module) -> dict[str, float]:
    """The share of held-out questions answered right, by steps."""
    model.eval()
    (batch,) = HELD_OUT
    right = (model(batch.source, batch.inputs).argmax(-1) == batch.targets)[:, 0]
    steps = batch.inputs[:, 0] + 1
    return {
        f"{n} step{'s' * (n > 1)}": right[steps == n].float().mean().item()
        for n in range(1, STEPS + 1)
    }


def without_edges() -> dict[str, float]:
    """The loss of a uniform guess, and of the best guess from the colours alone.

    Where nothing is known of the pointers, one step ends at each other node with
    probability 1/5; two steps end at the marked node with 1/5, at each other with 4/25.
    """
    (batch,) = HELD_OUT
    marked, colours, _ = batch.source.unflatten(1, (3, NODES)).unbind(1)
    others = NODES - 1
    one = (1 - marked) / others
    two = marked / others + (1 - marked) * (others - 1) / others**2
    reached = torch.where(batch.inputs == 0, one, two)
    painted = F.one_hot(colours, COLOURS).to(reached.dtype)
    likely = torch.einsum("bn,bnc->bc", reached, painted)
    given = likely.gather(1, batch.targets - STEPS).log()
    return {"chance": math.log(COLOURS), "best without edges": -given.mean().item()}


experiment = Experiment(
    asks="Does a language model that is given a graph need its edges?",
    task=Task(
        name="pointer chasing, 6 nodes",
        batch=drawn,
        held_out=HELD_OUT,
        baselines=without_edges,
        bar=("best without edges", 0.8),
        loss=seq2seq_loss,
        unit="nats per answer",
        scores=share_right,
    ),
    variants={
        "edges": lambda: Reader("edges"),
        "one round": lambda: Reader("edges", rounds=1),
        "no edges": lambda: Reader("no edges"),
        "all edges": lambda: Reader("all edges"),
    },
    seeds=range(5),
    updates=(200, 400),
    lr=1e-2,
)
