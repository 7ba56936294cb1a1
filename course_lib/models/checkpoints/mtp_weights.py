"""Weights of multi-token prediction (MTP) modules: in a DeepSeek-V3 checkpoint they lie
behind the model's layers, as layers of their own.

    model.layers.61.enorm, .hnorm, .eh_proj, .shared_head.norm   the module's own parts
    model.layers.61.self_attn..., .mlp...                        its block
    model.layers.61.embed_tokens, .shared_head.head              the model's, once more

Symbols: l layers of the model, so that depth k is layer l + k - 1.

Terms:
    MTP weights in files: the layers behind a model's last one -> load_mtp_weights
"""

import re
from collections.abc import Mapping

from torch import Tensor

from course_lib.models.checkpoints.weights import load_hf_weights
from course_lib.models.mtp import MTP

AGAIN = ("embed_tokens.weight", "shared_head.head.weight")
LAYER = r"(model\.layers\.)(\d+)\.(.+)"


def load_mtp_weights(mtp: MTP, tensors: Mapping[str, Tensor]) -> None:
    """Copy the modules' weights out of a checkpoint, in the dtype of the modules.

    Args:
        mtp: behind a model of the checkpoint's config.
        tensors: of the whole checkpoint, or of these layers alone.

    Raises:
        ValueError: there are fewer modules in it than `mtp` has, and as in
        `load_hf_weights`.
    """
    load_hf_weights(mtp, _Behind(tensors, len(mtp.spec.layers), len(mtp.layers)))


class _Behind(Mapping[str, Tensor]):
    """The layers from number l on, counted from 0, without what the model has."""

    def __init__(self, tensors: Mapping[str, Tensor], first: int, depth: int) -> None:
        self._tensors, self._names = tensors, {}
        for name in tensors:
            found = re.fullmatch(LAYER, name)
            if found is None or found[3] in AGAIN:
                continue
            if first <= int(found[2]) < first + depth:
                own = f"{found[1]}{int(found[2]) - first}.{found[3]}"
                self._names[own] = name

    def __getitem__(self, name: str) -> Tensor:
        return self._tensors[self._names[name]]

    def __iter__(self):
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)
