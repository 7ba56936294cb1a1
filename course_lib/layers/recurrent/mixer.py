"""What mixers with a recurrent state share: they are called as `Attention` is, look up
their state in the cache, leave padding out of it, and put back what it has become.

Symbols: b batch, t tokens, d model width.

Terms:
    recurrent mixer, token mixer with a state: called as attention is, with a state in
        the place of keys and values -> RecurrentMixer
"""

from collections.abc import Mapping

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from course_lib.layers.caches.state import RecurrentState
from course_lib.layers.masks import CAUSAL, MaskMod
from course_lib.layers.per_forward import PerForward
from course_lib.layers.recurrent.causal_conv import real_tokens

States = Mapping[str, Tensor]


class RecurrentMixer(nn.Module):
    """A layer that mixes the tokens of a row through a state. A subclass says in
    `mix` how (in `mix_at`, if positions matter), and sets these two:

    Attributes:
        state_shapes: of its tensors, the batch left out.
        accumulators: names of those that sum over all tokens, which are kept in float32
            at least.
    """

    state_shapes: Mapping[str, tuple[int, ...]]
    accumulators: tuple[str, ...] = ()

    def forward(
        self,
        x: Float[Tensor, "b t d"],
        positions: Int[Tensor, "b t"],
        cache: RecurrentState | None = None,
        per_forward: PerForward | None = None,
        mask_mod: MaskMod | None = None,
    ) -> Float[Tensor, "b t d"]:
        """Mix the tokens of each row.

        Args:
            x: the tokens, in the order of their positions. positions: -1 for padding,
                which leaves the state as it is; other numbers are not looked at.
            cache: the state that earlier calls have left; it takes the new one.
            per_forward: not used, as attention's.
            mask_mod: None or causal: a state cannot leave out tokens for some queries.

        Raises:
            ValueError: `mask_mod` is another mask.
        """
        if mask_mod is not None and mask_mod is not CAUSAL:
            raise ValueError(
                f"mask_mod={mask_mod}: a layer with a state is causal and takes no "
                "other mask"
            )
        states = self.make_state(len(x), x.dtype, x.device) if cache is None else cache
        kept = real_tokens(positions)
        before = {name: states[name] for name in self.state_shapes}
        y, after = self.mix_at(x, positions, kept, before)
        if cache is not None:
            cache.update(x.shape[1], **after)
        return y

    def mix_at(
        self,
        x: Float[Tensor, "b t d"],
        positions: Int[Tensor, "b t"],
        kept: Bool[Tensor, "b t"] | None,
        states: States,
    ) -> tuple[Float[Tensor, "b t d"], States]:
        """As `mix`, for a layer that looks at positions."""
        return self.mix(x, kept, states)

    def mix(
        self,
        x: Float[Tensor, "b t d"],
        kept: Bool[Tensor, "b t"] | None,
        states: States,
    ) -> tuple[Float[Tensor, "b t d"], States]:
        """The outputs, and the states after the last token.

        Args:
            kept: which tokens are no padding; None where all are.
            states: before the first token.
        """
        raise NotImplementedError

    def make_state(
        self,
        batch: int,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> RecurrentState:
        """A state of zeros, as before the first token."""
        dtype = torch.get_default_dtype() if dtype is None else dtype
        wide = torch.promote_types(dtype, torch.float32)
        dtypes = dict.fromkeys(self.accumulators, wide)
        return RecurrentState(batch, self.state_shapes, dtype, device, dtypes=dtypes)


def without_padding(kept: Bool[Tensor, "b t"] | None, x: Tensor) -> Tensor:
    """x with zeros in the place of padding: keys and log decays that change nothing."""
    if kept is None:
        return x
    return x.masked_fill(~kept.view(*kept.shape, *(1,) * (x.ndim - 2)), 0.0)
