"""From what is typed to what is meant: a model's name or its config.json, a GPU's name.

Case does not matter. A name that is unknown is answered with the nearest ones.
"""

import os
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Annotated

import typer

from course_lib.costs.hardware import Hardware, list_hardware, load_hardware
from course_lib.specs.from_hf import spec_from_hf_config
from course_lib.specs.loader import list_specs, load_spec
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
        help="Devices that hold one copy of the weights together.",
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
Bits = Annotated[
    int, typer.Option(min=1, max=MOST_BITS, help="Bits of each cached number.")
]
WeightBits = Annotated[
    int, typer.Option(min=1, max=MOST_BITS, help="Bits of each weight.")
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


def bytes_of(bits: int) -> int | float:
    """Bytes of a number of `bits`, whole where they are.

    >>> bytes_of(16), bytes_of(4)
    (2, 0.5)
    """
    return bits / 8 if bits % 8 else bits // 8
