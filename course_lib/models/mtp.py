"""Multi-token prediction (MTP): modules behind a causal language model that predict the
second next token, the third next, and so on, each from the vectors of the one before.

Symbols: b batch, t tokens x_0 .. x_{t-1}, d model width, D modules, k = 1 .. D the
depth of a module. h^0 are the vectors that the model scores.

    h^k_i = block_k(M_k [norm(embed(x_{i+k})); norm(h^{k-1}_i)])      i = 0 .. t - 1 - k
    its logits head(norm(h^k_i)) are of x_{i+k+1}

Embedding and head are the model's own. Each module keeps the chain: depth k has read
x_{i+k}, so that its prediction is conditioned on all tokens before.

Terms:
    multi-token prediction, MTP: a module predicts one token further ahead, from the
        vectors of the model and the next token -> MTP
    MTP loss: the mean cross-entropy of the depths, times a weight -> mtp_loss
"""

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from course_lib.layers.caches.contract import Cache
from course_lib.layers.caches.model_cache import ModelCache
from course_lib.layers.per_forward import PerForward
from course_lib.layers.positions.numbering import next_positions
from course_lib.models.block import build_blocks
from course_lib.models.layer_factory import (
    InitialScale,
    build_cache,
    build_norm,
    initialise,
)
from course_lib.models.lm import CausalLM
from course_lib.specs.records import LayerSpec


class MTP(nn.Module):
    """D prediction modules behind a model, whose embedding and head they share.

    Args:
        model: stays as it is; the modules hold no copy of its weights.
        depth: D.
        layer: of each module's block; the model's last layer when left out.
        std: the first scale of every matrix, as in `initialise`.

    Raises:
        ValueError: `depth` is below 1, or the layer has a part that is not built.

    *Cost*: a layer, 2 d^2 and 3 d parameters a module; drafting one token runs one
        module and the head.
    *Source*: DeepSeek-AI 2024, section 2.2, arXiv:2412.19437; Gloeckle et al. 2024,
        arXiv:2404.19737, with independent heads.
    *Differs from source*: h^k is handed on behind its norm, as `MtpModel` of
        transformers 5.23 does; the paper draws the norm in the output head.

    >>> from course_lib.specs.from_hf import spec_from_hf_config
    >>> config = {"model_type": "llama", "hidden_size": 8, "num_attention_heads": 2}
    >>> config |= {"num_hidden_layers": 2, "intermediate_size": 5, "vocab_size": 7}
    >>> model = CausalLM(spec_from_hf_config(config))
    >>> [tuple(one.shape) for one in MTP(model, 2)(torch.tensor([[1, 2, 3, 4]]))]
    [(1, 3, 7), (1, 2, 7)]
    """

    def __init__(
        self,
        model: CausalLM,
        depth: int = 1,
        layer: LayerSpec | None = None,
        *,
        std: InitialScale = "fan_in",
    ) -> None:
        super().__init__()
        if depth < 1:
            raise ValueError(f"depth={depth}: allowed are whole numbers from 1")
        self.behind = [model]  # out of PyTorch's sight: a state dict holds it once
        self.spec, width = model.spec, model.spec.width
        self.layers = (self.spec.layers[-1] if layer is None else layer,) * depth
        self.blocks = build_blocks(width, self.layers)
        norms = [
            nn.ModuleList(build_norm(width, one.norm) for one in self.layers)
            for _ in range(3)
        ]
        self.embed_norms, self.hidden_norms, self.norms = norms
        self.project = nn.ModuleList(
            nn.Linear(2 * width, width, bias=False) for _ in self.layers
        )
        initialise(self, std)

    def forward(self, tokens: Int[Tensor, "b t"]) -> list[Float[Tensor, "b _ vocab"]]:
        """Logits of each depth for whole rows: depth k has those of x_{k+1} and later,
        the last of a token beyond the row.

        Raises:
            ValueError: the rows have no more than D tokens.
        """
        if tokens.shape[1] <= len(self.layers):
            raise ValueError(
                f"tokens has {tokens.shape[1]} a row: at least {len(self.layers) + 1} "
                "are needed"
            )
        positions = next_positions(0, *tokens.shape, device=tokens.device)
        below = self.model.hidden(self.model.embed(tokens, positions), positions)
        found = []
        for k in range(1, len(self.layers) + 1):
            below = self.step(k, tokens[:, k:], below[:, : tokens.shape[1] - k])
            found.append(self.model.score(below))
        return found

    @property
    def model(self) -> CausalLM:
        """The model that the modules stand behind."""
        return self.behind[0]

    def step(
        self,
        k: int,
        tokens: Int[Tensor, "b t"],
        below: Float[Tensor, "b t d"],
        cache: Cache | None = None,
    ) -> Float[Tensor, "b t d"]:
        """The vectors h^k of some places, behind their norm.

        Args:
            k: the depth, from 1.
            tokens: x_{i+k} of each place i.
            below: h^{k-1}_i.
            cache: of this depth, from `make_cache`; holds the places before.
        """
        start = k + (0 if cache is None else cache.length)
        positions = next_positions(start, *tokens.shape, device=tokens.device)
        embedded = self.embed_norms[k - 1](self.model.embed(tokens, positions))
        both = torch.cat((embedded, self.hidden_norms[k - 1](below)), dim=-1)
        x = self.project[k - 1](both)
        per_forward = PerForward()
        per_forward.layer = len(self.spec.layers) + k - 1
        return self.norms[k - 1](self.blocks[k - 1](x, positions, cache, per_forward))

    def make_cache(self, batch: int, capacity: int) -> ModelCache:
        """An empty cache, one layer a depth; a ValueError for a size below 1."""
        return build_cache(
            self.spec.width, self.layers, batch, capacity, self.project[0].weight
        )


def mtp_loss(
    logits: Sequence[Float[Tensor, "b _ vocab"]],
    tokens: Int[Tensor, "b t"],
    weight: float = 0.3,
) -> Float[Tensor, ""]:
    """What is added to the loss of the next token.

    *Equation*: weight / D sum_k L_k, with L_k the mean cross-entropy of depth k over
        the tokens x_{k+1} .. x_{t-1} of each row.

    Args:
        logits: from `MTP.forward`. tokens: the rows. weight: lambda, 0.3 for most of
            DeepSeek-V3's training and 0.1 at its end.

    Raises:
        ValueError: the rows have no target for the last depth.

    *Source*: DeepSeek-AI 2024, eq. 24 and 25, arXiv:2412.19437.
    *Differs from source*: L_k is a mean over its own targets; the paper divides by the
        length of the row.
    """
    losses = list(_losses(logits, tokens))
    return weight * torch.stack(losses).mean()


def _losses(logits: Sequence[Tensor], tokens: Tensor) -> Iterator[Tensor]:
    for k, own in enumerate(logits, start=1):
        targets = tokens[:, k + 1 :]
        if not targets.numel():
            raise ValueError(f"tokens has {tokens.shape[1]} a row: depth {k} has none")
        yield F.cross_entropy(own[:, :-1].flatten(0, 1), targets.flatten())
