"""Where a notebook runs: its device, its dtype, its profile, its seed, and every size
that depends on them.

A profile is a promise about time, not about results:

    smoke   seconds on one core: does every cell run?
    cpu     the default without a GPU: a notebook within a minute on two cores
    gpu     the default with a CUDA device: sizes at which the guide's claims show best

`COURSE_PROFILE` chooses; unset, the hardware does. A size that depends on the profile
is written once, as `by_profile(smoke=..., cpu=..., gpu=...)`, in the notebook that uses
it.
"""

import os
import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch

PROFILES = ("smoke", "cpu", "gpu")
VARIABLE = "COURSE_PROFILE"

Size = TypeVar("Size")
Device = torch.device | str | None


@dataclass(frozen=True, kw_only=True)
class Runtime:
    """What `setup` decided.

    Attributes:
        device: where tensors live: CUDA in the gpu profile, the CPU in the others.
        dtype: float32, the dtype of anything that is trained or compared.
        fast_dtype: the dtype of anything that is only timed: bfloat16 on CUDA, float32
            on the CPU.
        profile: "smoke", "cpu" or "gpu".
        seed: what Python, NumPy and PyTorch were seeded with.
    """

    device: torch.device
    dtype: torch.dtype
    fast_dtype: torch.dtype
    profile: str
    seed: int

    def generator(self, offset: int = 0) -> torch.Generator:
        """Return a fresh CPU generator seeded with `seed + offset`, for draws that must
        not disturb others.

        >>> a, b = setup(3).generator(), setup(3).generator()
        >>> bool(torch.equal(torch.rand(2, generator=a), torch.rand(2, generator=b)))
        True
        """
        return torch.Generator().manual_seed(self.seed + offset)


def profile(
    environment: Mapping[str, str] = os.environ, *, cuda: bool | None = None
) -> str:
    """Return the profile in force: the variable's value, or "gpu" with a CUDA device
    and "cpu" without.

    Args:
        environment: where `COURSE_PROFILE` is looked up.
        cuda: whether a CUDA device is there; asked of PyTorch when None.
    Raises:
        ValueError: if `COURSE_PROFILE` is not a profile, or is "gpu" where there is no
        CUDA device.

    >>> profile({"COURSE_PROFILE": "smoke"})
    'smoke'
    >>> profile({}, cuda=True), profile({}, cuda=False)
    ('gpu', 'cpu')
    """
    cuda = torch.cuda.is_available() if cuda is None else cuda
    chosen = environment.get(VARIABLE, "").strip() or ("gpu" if cuda else "cpu")
    if chosen not in PROFILES:
        raise ValueError(f"{VARIABLE}={chosen!r}: allowed are {', '.join(PROFILES)}")
    if chosen == "gpu" and not cuda:
        raise ValueError(
            f"{VARIABLE}='gpu': needs a CUDA device and PyTorch "
            "finds none; use 'cpu' or 'smoke'"
        )
    return chosen


def by_profile(*, smoke: Size, cpu: Size, gpu: Size) -> Size:
    """Return the one of three values that belongs to the profile in force.

    Args:
        smoke, cpu, gpu: what the size is under each profile; numbers, tuples or
            anything else.

    >>> steps = by_profile(smoke=2, cpu=200, gpu=2000)
    >>> steps in (2, 200, 2000)
    True
    """
    return {"smoke": smoke, "cpu": cpu, "gpu": gpu}[profile()]


def setup(seed: int = 0) -> Runtime:
    """Seed Python, NumPy and PyTorch, choose the device, and say what was chosen.

    Two runs with one seed on one machine draw the same numbers. Across machines the CPU
    streams agree; sums on a GPU may differ in their last bits.

    Args:
        seed: 0 to 2**32 - 1.
    Raises:
        ValueError: if `seed` is not an integer in that range, or the profile is refused
        (see `profile`).

    >>> setup(7).seed
    7
    """
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**32:
        raise ValueError(f"seed={seed!r}: allowed is an integer from 0 to 2**32 - 1")
    chosen = profile()
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    on_gpu = chosen == "gpu"
    return Runtime(
        device=torch.device("cuda" if on_gpu else "cpu"),
        dtype=torch.float32,
        fast_dtype=torch.bfloat16 if on_gpu else torch.float32,
        profile=chosen,
        seed=seed,
    )


def synchronise(device: Device = None) -> None:
    """Wait until the device has done everything it was given; nothing to do on the
    CPU.
    """
    if device is not None and torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)
