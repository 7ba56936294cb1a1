"""A graph as a prompt: message passing makes node states, a few learned queries attend
to them, and what they find stands before the text of a language model.

Symbols: n nodes, p prompt vectors, t tokens, d model width.

The queries attend to a set, so the order in which nodes are numbered does not matter.

Terms:
    graph prompt, node states as soft prompt: vectors of a graph before the tokens of a
        text -> GraphPromptLM
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from course_lib.layers.attention.forms import attend
from course_lib.layers.graph.message_passing import Edges, Nodes, TransformerConv
from course_lib.models.lm import CausalLM, Logits


class GraphPromptLM(nn.Module):
    """A causal model whose text stands behind what a graph says.

    Args:
        model: the language model. d: width of the nodes' features.
        prompt: p. rounds: of message passing: a node hears of nodes so many edges away.
        heads: of the message passing; a divisor of the model's width.

    Raises:
        ValueError: `prompt` or `rounds` is below 1.

    >>> from course_lib.specs.small import small_llama
    >>> model = GraphPromptLM(CausalLM(small_llama(8, heads=2)), d=3, heads=2)
    >>> edges, tokens = torch.tensor([[0, 1], [1, 2]]), torch.zeros(2, 5).long()
    >>> model(torch.randn(3, 3), edges, tokens).shape
    torch.Size([2, 5, 256])
    """

    def __init__(
        self,
        model: CausalLM,
        d: int,
        *,
        prompt: int = 4,
        rounds: int = 2,
        heads: int = 4,
    ) -> None:
        super().__init__()
        if prompt < 1 or rounds < 1:
            raise ValueError(f"prompt={prompt}, rounds={rounds}: allowed are from 1")
        width = model.spec.width
        self.model = model
        self.into = nn.Linear(d, width)
        sizes = heads, width // heads
        self.rounds = nn.ModuleList(
            TransformerConv(width, *sizes) for _ in range(rounds)
        )
        self.queries = nn.Parameter(torch.randn(prompt, width))
        self.wk, self.wv = nn.Linear(width, width), nn.Linear(width, width)

    def node_states(self, nodes: Nodes, edges: Edges) -> Float[Tensor, "n width"]:
        """What each node knows after all rounds."""
        states = self.into(nodes)
        for layer in self.rounds:
            states = states + torch.relu(layer(states, edges))
        return states

    def prompts(self, states: Float[Tensor, "b n d"]) -> Float[Tensor, "b p d"]:
        """What the learned queries find among the nodes of each graph."""
        batch, nodes = states.shape[:2]
        q = self.queries.expand(batch, -1, -1)
        q, k, v = (x[:, :, None] for x in (q, self.wk(states), self.wv(states)))
        everything = torch.ones(batch, q.shape[1], nodes, dtype=torch.bool)
        found, _ = attend(q, k, v, everything.to(q.device))
        return found[:, :, 0]

    def forward(self, nodes: Nodes, edges: Edges, tokens: Int[Tensor, "b t"]) -> Logits:
        """Score the vocabulary after each token of some texts about one graph."""
        states = self.node_states(nodes, edges)[None]
        return self._read(self.prompts(states).expand(len(tokens), -1, -1), tokens)

    def read_many(
        self,
        nodes: Float[Tensor, "b n f"],
        edges: Edges,
        tokens: Int[Tensor, "b t"],
    ) -> Logits:
        """The same for a graph of n nodes for each text.

        The graphs are parts of one that has no edge between them: node i of graph j has
        the number j n + i in `edges`.
        """
        states = self.node_states(nodes.flatten(0, 1), edges)
        return self._read(self.prompts(states.unflatten(0, nodes.shape[:2])), tokens)

    def _read(self, prompts: Float[Tensor, "b p d"], tokens: Tensor) -> Logits:
        p, t = prompts.shape[1], tokens.shape[1]
        places = torch.arange(p + t, device=tokens.device).expand(len(tokens), -1)
        text = self.model.embed(tokens, places[:, p:])
        return self.model.run(torch.cat([prompts, text], 1), places)[:, p:]
