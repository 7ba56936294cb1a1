"""From what is typed to what is meant: a model's name or its config.json, a GPU's name.

Case does not matter. A name that is unknown is answered with the nearest ones.
"""

import os
from collections.abc import Sequence
from difflib import get_close_matches
from enum import StrEnum
from typing import Annotated

import typer

from course_lib.costs.devices import SPLITS
from course_lib.costs.hardware import (
    ARITHMETIC,
    Hardware,
    fastest_arithmetic,
    list_hardware,
    load_hardware,
)
from course_lib.costs.stored import bits_per_weight
from course_lib.specs.from_hf import spec_from_hf_config
from course_lib.specs.loader import list_specs, load_spec
from course_lib.specs.quantisation import quantisation_text
from course_lib.specs.records import ModelSpec

DEFAULT_CONTEXT = 8192
MOST_TOKENS, MOST_REQUESTS, MOST_DEVICES, MOST_BITS = 10**9, 10**6, 10**5, 64


def complete_model(incomplete: str) -> list[str]:
    """Names of models for the shell."""
    return [name for name in list_specs() if name.startswith(incomplete.lower())]


def complete_gpu(incomplete: str) -> list[str]:
    """Names of GPUs for the shell."""
    return [
        name for name in list_hardware() if name.lower().startswith(incomplete.lower())
    ]


Model = Annotated[
    str | None,
    typer.Argument(
        metavar="MODEL",
        help="A name from `course spec --list`, or the path of a file: a Hugging "
        "Face config.json, a params.json of Meta's or Mistral's, a GGUF file.",
        autocompletion=complete_model,
        show_default=False,
    ),
]
Gpu = Annotated[
    str | None,
    typer.Option(
        "--gpu",
        help="A name from `course fit --list-gpus`.",
        autocompletion=complete_gpu,
    ),
]
Devices = Annotated[
    int,
    typer.Option(
        min=1,
        max=MOST_DEVICES,
        help="Devices that serve one copy of the model together.",
    ),
]
Context = Annotated[
    int | None,
    typer.Option(
        "--context",
        "-c",
        min=1,
        max=MOST_TOKENS,
        help="Tokens of a request. Default: the model's own limit, "
        f"{DEFAULT_CONTEXT:,} where it has none.",
        show_default=False,
    ),
]
SplitName = StrEnum("SplitName", {word: word for word in SPLITS})
ArithmeticName = StrEnum("ArithmeticName", {word: word for word in ARITHMETIC})


Split = Annotated[
    SplitName,
    typer.Option(
        help="What several devices split: the heads (tensor parallelism), or the "
        "requests (data-parallel attention).",
    ),
]
Bits = Annotated[
    float,
    typer.Option(
        min=1,
        max=MOST_BITS,
        help="Bits of each cached number, 8.5 in q8_0.",
    ),
]
WeightBits = Annotated[
    float | None,
    typer.Option(
        min=1,
        max=MOST_BITS,
        help="Bits of each weight, scales among them: 4.25 in MXFP4, 4.5 in NVFP4. "
        "Default: the config's own, 16 where it names none.",
        show_default=False,
    ),
]
Arithmetic = Annotated[
    ArithmeticName | None,
    typer.Option(
        case_sensitive=False,
        help="Numbers that are multiplied. Default: the fastest that the device has "
        "at the weights' bits, which keeps every time a lower bound.",
        show_default=False,
    ),
]


def find_model(text: str | None) -> ModelSpec:
    """Return the model of a name or of a file that describes one (a config.json, say,
    or the folder that holds it), known by its content.

    Raises: typer.BadParameter, with the nearest names, if it is neither; ValueError if
        the file is no config.
    """
    if not text:
        raise typer.BadParameter(
            "a name or a config.json is wanted (see course spec --list)",
            param_hint="MODEL",
        )
    if text.lower() in list_specs():
        return load_spec(text.lower())
    file = file_of(text)
    if file is not None:
        return _read(file)
    raise typer.BadParameter(
        _nearest("model", text, list_specs(), "course spec --list"), param_hint="MODEL"
    )


def file_of(text: str) -> str | None:
    """Return the file that a text names, or the config of a folder that it names."""
    if os.path.isfile(text) or text.lower().endswith(".json"):
        return text
    paths = [os.path.join(text, name) for name in ("config.json", "params.json")]
    return next((path for path in paths if os.path.isfile(path)), None)


def _read(path: str) -> ModelSpec:
    try:
        return spec_from_hf_config(path)
    except RecursionError:
        raise ValueError(f"config={path!r}: nested too deeply") from None


def find_gpu(text: str | None) -> Hardware:
    """Return the GPU of that name.

    Raises: typer.BadParameter, with the nearest names, if there is none.
    """
    if not text:
        raise typer.BadParameter(
            "a name is wanted (see course fit --list-gpus)", param_hint="--gpu"
        )
    by_name = {name.lower(): name for name in list_hardware()}
    if text.lower() not in by_name:
        hint = _nearest("GPU", text, list_hardware(), "course fit --list-gpus")
        raise typer.BadParameter(hint, param_hint="--gpu")
    return load_hardware(by_name[text.lower()])


def _nearest(kind: str, text: str, names: Sequence[str], listing: str) -> str:
    """Say that there is no such name, and which come close.

    >>> _nearest("model", "lama-3-8b", ("llama-3-8b", "gpt2"), "course spec --list")
    "no model is called 'lama-3-8b'; nearest: llama-3-8b (all: course spec --list)"
    """
    by_lower = {name.lower(): name for name in names}
    typed = text.lower()
    starts = [
        name for lower, name in by_lower.items() if typed and lower.startswith(typed)
    ][:3]
    close = [
        by_lower[lower] for lower in get_close_matches(typed, by_lower, n=3, cutoff=0.5)
    ]
    near = list(dict.fromkeys([*starts, *close]))[:4]
    shown = text if len(text) <= 60 else f"{text[:57]}..."
    found = f"nearest: {', '.join(near)}" if near else "none comes close"
    return f"no {kind} is called {shown!r}; {found} (all: {listing})"


def context_of(spec: ModelSpec, asked: int | None) -> int:
    """The context asked for, or the model's own, or the default."""
    return asked or spec.context or DEFAULT_CONTEXT


def computing(device: Hardware, arithmetic: str | None, weight_bits: float) -> Hardware:
    """The device at the peak of that arithmetic, or of the fastest at these bits.

    Raises: typer.BadParameter if no peak of it is known.

    >>> computing(load_hardware("B200"), None, 4.5).arithmetic
    'FP4'
    """
    try:
        return device.computing(
            arithmetic or fastest_arithmetic(device, weight_bits / 8)
        )
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--arithmetic") from None


def bytes_of(bits: float) -> int | float:
    """Bytes of a number of `bits`, whole where they are.

    >>> bytes_of(16.0), bytes_of(4), bytes_of(4.25)
    (2, 0.5, 0.53125)
    """
    return bits / 8 if bits % 8 else int(bits // 8)


def weight_bits_of(spec: ModelSpec, asked: float | None) -> float:
    """The bits asked for, or those of the model's own file on average."""
    return bits_per_weight(spec) if asked is None else asked


def precision_text(spec: ModelSpec, asked: float | None) -> str:
    """Which precision of the weights was counted, and why."""
    own = spec.quantisation
    if asked is not None:
        named = f"; its file has {quantisation_text(own)}" if own else ""
        return f"weights of {bits_text(asked)} bits as asked{named}"
    if own is None:
        return "weights of 16 bits, for its config as read names no quantisation"
    if own.bits is None:
        return (
            f"its file's own {quantisation_text(own)}: weights of 16 bits, more than "
            "it has, so no time is a bound for it (--weight-bits takes its bits)"
        )
    bits = bits_text(bits_per_weight(spec))
    return f"its file's own {quantisation_text(own)}: {bits} bits a weight on average"


def bits_text(bits: float) -> str:
    """Bits without a needless point.

    >>> bits_text(16.0), bits_text(4.25)
    ('16', '4.25')
    """
    return f"{bits:.4g}"


def plain(bits: float) -> int | float:
    """A whole number as one, for the JSON."""
    return int(bits) if bits == int(bits) else bits
