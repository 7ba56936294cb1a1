"""Compare a model of ours with the same model of `transformers`, in float64 and with the same weights.

`transformers` works out norms, softmax and rotary angles in float32 even when a model is in float64. That
would hide a difference below 1e-7. `in_float64` lifts this: inside it, what its modules ask for as float32
is float64.
"""

import sys
from contextlib import contextmanager
from types import ModuleType
from unittest import mock

import torch
from torch import Tensor, nn
from transformers import DynamicCache, PreTrainedConfig
from transformers import modeling_rope_utils as rope_utils

from course_lib.layers.caches.model_cache import ModelCache
from course_lib.models.checkpoints.weights import load_hf_weights
from course_lib.models.lm import CausalLM
from course_lib.specs.from_hf import spec_from_hf_config

TOLERANCE = {"rtol": 1e-10, "atol": 1e-10}
BALANCE = ("e_score_correction_bias", "expert_bias")  # biases on the pick, which are buffers


class _Float64Torch(ModuleType):
    """`torch`, where float32 means float64."""

    float32 = float = torch.float64

    def __getattr__(self, name: str):
        return getattr(torch, name)


@contextmanager
def in_float64(modeling: ModuleType):
    """Let `modeling` (a `transformers.models.*.modeling_*`) and the shared rotary code compute in float64."""
    wide = _Float64Torch("torch")
    with (
        mock.patch.object(modeling, "torch", wide),
        mock.patch.object(rope_utils, "torch", wide),
        mock.patch.object(torch.Tensor, "float", torch.Tensor.double),
        _default_dtype(torch.float64),
    ):
        yield


@contextmanager
def _default_dtype(dtype: torch.dtype):
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


class Pair:
    """The same tiny model twice: theirs from `config`, ours from the spec read off that config.

    Args:
        config: a `transformers` config of a causal language model.
        model_class: its model class.
        seed: of the random weights; every tensor is random, norms and biases included.
        tolerance: of what must be equal; a looser one needs a reason where it is given.
        key_copies: how often their cache holds each key.
    """

    def __init__(
        self,
        config: PreTrainedConfig,
        model_class: type[nn.Module],
        *,
        seed: int = 0,
        tolerance: float = 1e-10,
        key_copies: int = 1,
    ) -> None:
        torch.manual_seed(seed)
        self.tolerance, self.key_copies = {"rtol": tolerance, "atol": tolerance}, key_copies
        config._attn_implementation = config._experts_implementation = "eager"
        self.modeling = sys.modules[model_class.__module__]
        with in_float64(self.modeling):
            self.theirs = model_class(config).double().eval()
        for parameter in self.theirs.parameters():
            parameter.data = torch.randn_like(parameter) * 0.3
        for name, buffer in self.theirs.named_buffers():
            if name.endswith(BALANCE):  # zero at the start, where it would change no pick
                buffer.copy_(torch.randn_like(buffer) * 0.3)
        self.spec = spec_from_hf_config(config.to_dict())
        self.ours = CausalLM(self.spec).double().eval()
        load_hf_weights(self.ours, self.theirs.state_dict())

    def tokens(self, batch: int, length: int) -> Tensor:
        return torch.randint(self.spec.vocab, (batch, length))

    @torch.no_grad()
    def their_logits(self, tokens: Tensor, cache: DynamicCache | None = None, **options) -> Tensor:
        with in_float64(self.modeling):
            out = self.theirs(tokens, past_key_values=cache, use_cache=cache is not None, **options)
        return out.logits

    def their_cache(self) -> DynamicCache:
        return DynamicCache(config=self.theirs.config)

    @torch.no_grad()
    def our_logits(
        self, tokens: Tensor, positions: Tensor | None = None, cache: ModelCache | None = None
    ) -> Tensor:
        return self.ours(tokens, positions, cache)


def their_cache_bytes(cache: DynamicCache) -> int:
    """Bytes of the keys and values that their cache holds."""
    return sum(layer.keys.nbytes + layer.values.nbytes for layer in cache.layers)
