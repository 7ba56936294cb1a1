"""Byte patches (BLT): a small network reads bytes, a large one reads patches of several
bytes, and a small one writes bytes again. Where the next byte is hard to guess a new
patch begins.

Symbols: b batch, t bytes, n patches, d model width; H_i the entropy of the guess for
byte i, made from the bytes before it.

    begins    byte i begins a patch if H_i > limit (or grew by more than a limit)
    encoder   causal, over bytes; a patch is the mean of its bytes
    global    causal, over patches
    decoder   causal, over bytes; to byte i the global vector of the last whole patch,
              the one before i's own, is added

The patch of byte i itself holds bytes behind i and must not be read there. Patches as
long as the text leave the two small networks; patches of one byte make the large one
run at every byte.

Terms:
    byte patches, BLT, byte latent Transformer: a large network that runs once a patch
        of bytes -> BytePatchLM
    entropy patching, dynamic patches: a patch begins where the next byte is uncertain
        -> entropy_starts, patch_numbers
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from course_lib.layers.per_forward import PerForward
from course_lib.models.block import build_blocks
from course_lib.models.layer_factory import InitialScale, build_norm, initialise
from course_lib.models.lm import CausalLM
from course_lib.specs.records import ModelSpec

Starts = Bool[Tensor, "b t"]


@torch.no_grad()
def next_byte_entropy(
    model: CausalLM, tokens: Int[Tensor, "b t"]
) -> Float[Tensor, "b t"]:
    """H_i in nats, for each byte that of the guess made before it; infinite for the
    first, of which nothing is known.
    """
    logits = model(tokens)[:, :-1]
    entropy = torch.distributions.Categorical(logits=logits).entropy()
    return torch.cat([entropy.new_full((len(tokens), 1), float("inf")), entropy], 1)


def entropy_starts(
    entropy: Float[Tensor, "b t"], limit: float, *, growth: bool = False
) -> Starts:
    """Where patches begin: at the first byte, and where H is above the limit, or with
    `growth`, above that of the byte before by more than the limit.

    *Source*: Pagnoni et al. 2024, section 2.3, arXiv:2412.09871.

    >>> entropy = torch.tensor([[9.0, 1.0, 3.0, 3.5]])
    >>> entropy_starts(entropy, 2.0).int().tolist()
    [[1, 0, 1, 1]]
    >>> entropy_starts(entropy, 1.0, growth=True).int().tolist()
    [[1, 0, 1, 0]]
    """
    starts = entropy > limit
    if growth:
        grown = entropy[:, 1:] - entropy[:, :-1]
        starts = torch.cat([torch.ones_like(starts[:, :1]), grown > limit], 1)
    starts[:, 0] = True
    return starts


def patch_numbers(starts: Starts) -> Int[Tensor, "b t"]:
    """The patch of each byte, from 0.

    >>> patch_numbers(torch.tensor([[True, False, True, True]])).tolist()
    [[0, 0, 1, 2]]
    """
    return starts.long().cumsum(1) - 1


class BytePatchLM(nn.Module):
    """Logits for the byte after each byte, with a large network over patches.

    Args:
        spec: of a decoder over bytes; its layers are split over the three networks.
        layers: how many of them the encoder and the decoder have; the others are the
            global network.
        std: the first scale of every matrix, as in `initialise`.

    Raises:
        ValueError: the three networks are not within the spec's layers.

    *Cost*: FLOPs of the small layers once a byte, and of the others once a patch.
    *Source*: Pagnoni et al. 2024, section 3, arXiv:2412.09871.
    *Differs from source*: patches are means and are added to bytes, in place of
        cross-attention both ways; no hashed n-grams.

    >>> from course_lib.specs.small import small_llama
    >>> model = BytePatchLM(small_llama(8, layers=4, heads=2))
    >>> starts = torch.tensor([[True, False, False, True, False]])
    >>> model(torch.zeros(1, 5, dtype=torch.long), starts).shape
    torch.Size([1, 5, 256])
    """

    one_stream = ("encoder", "decoder")

    def __init__(
        self,
        spec: ModelSpec,
        layers: tuple[int, int] = (1, 1),
        *,
        std: InitialScale = "fan_in",
    ) -> None:
        super().__init__()
        first, last = layers
        middle = len(spec.layers) - last
        if first < 1 or last < 1 or middle <= first:
            raise ValueError(
                f"layers={layers}: allowed are numbers from 1 that leave some of "
                f"{len(spec.layers)} for the global network"
            )
        self.spec, width = spec, spec.width
        self.embed = nn.Embedding(spec.vocab, width)
        self.encoder = build_blocks(width, spec.layers[:first])
        self.globally = build_blocks(width, spec.layers[first:middle])
        self.decoder = build_blocks(width, spec.layers[middle:])
        self.first = nn.Parameter(torch.zeros(width))
        self.final_norm = build_norm(width, spec.final_norm)
        self.head = nn.Linear(width, spec.vocab, bias=False)
        initialise(self, std)

    def forward(
        self, tokens: Int[Tensor, "b t"], starts: Starts
    ) -> Float[Tensor, "b t vocab"]:
        """Score the next byte after each. `starts`: where patches begin, the first byte
        of each row among them.
        """
        x = _run(self.encoder, self.embed(tokens))
        patch = patch_numbers(starts)
        sums = x.new_zeros(len(x), int(patch.max()) + 1, x.shape[-1])
        index = patch[..., None].expand_as(x)
        counts = torch.zeros_like(sums).scatter_add(1, index, torch.ones_like(x))
        patches = sums.scatter_add(1, index, x) / counts.clamp(min=1)
        found = _run(self.globally, patches)
        first = self.first.expand(len(x), 1, -1)
        before = torch.cat([first, found], 1)  # at n: the patch before number n
        x = x + before.gather(1, index)
        return self.head(self.final_norm(_run(self.decoder, x)))


def _run(blocks: nn.ModuleList, x: Float[Tensor, "b t d"]) -> Float[Tensor, "b t d"]:
    places = torch.arange(x.shape[1], device=x.device).expand(len(x), -1)
    shared = PerForward()
    for block in blocks:
        x = block(x, places, None, shared)
    return x
