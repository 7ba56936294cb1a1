"""Text corpora that are already on the machine: the source of Python's standard
library, as bytes.

Millions of bytes of code and technical English by many hands, on every computer that
runs this course, with no download. A token is a byte, so the vocabulary is 256 and no
tokenizer stands between model and text.

The split is by file: no validation byte comes from a file that was trained on. Two
machines see the same text if they run the same Python release; another release changes
some files, and a loss by a little.

Terms:
    standard library corpus, byte corpus: bytes of Python's own source as training text,
        split by file -> stdlib_source
    held-out split, validation split: files that training never sees -> Corpus
"""

import random
import sysconfig
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Int
from torch import Tensor

VOCAB = 256

# Not on every machine (Linux distributions ship these apart), or tables and not text,
# or generated at build time with the builder's folders in it.
_LEFT_OUT = {
    *(
        "test",
        "tests",
        "idle_test",
        "idlelib",
        "tkinter",
        "turtledemo",
        "turtle.py",
        "lib2to3",
        "distutils",
    ),
    *(
        "ensurepip",
        "site-packages",
        "dist-packages",
        "lib-dynload",
        "__pycache__",
        "__phello__",
    ),
    *("encodings", "pydoc_data", "sitecustomize.py", "usercustomize.py"),
}
_GENERATED = ("_sysconfigdata", "_sysconfig_vars", "config-")


@dataclass(frozen=True)
class Corpus:
    """Two token streams from disjoint sets of files.

    Attributes:
        train: byte tokens, int64 [n].
        valid: byte tokens, int64 [m].
        train_files, valid_files: the files behind them, named from the library's root,
            in order of use.
    """

    train: Int[Tensor, " n"]
    valid: Int[Tensor, " m"]
    train_files: tuple[str, ...]
    valid_files: tuple[str, ...]


def stdlib_source(
    max_bytes: int = 2_000_000, seed: int = 0, *, valid_share: float = 0.1
) -> Corpus:
    """Read `max_bytes` of the standard library's source, split by file.

    Files are sorted by name, shuffled by `seed`, and dealt: first to `valid` until it
    is full, then to `train`. The last file of each is cut, so both sizes are exact.

    Args:
        max_bytes: bytes in both parts together.
        seed: orders the files.
        valid_share: part of the bytes that goes to `valid`, above 0 and below 1.
    Raises:
        ValueError: if `valid_share` is not between 0 and 1, a part would hold no byte,
            or this installation has fewer than `max_bytes` bytes of source.

    >>> corpus = stdlib_source(50_000)
    >>> len(corpus.train), len(corpus.valid)
    (45000, 5000)
    >>> set(corpus.train_files) & set(corpus.valid_files)
    set()
    """
    if not 0 < valid_share < 1:
        raise ValueError(f"valid_share={valid_share}: allowed is above 0 and below 1")
    for_valid = round(max_bytes * valid_share)
    if not 0 < for_valid < max_bytes:
        raise ValueError(
            f"max_bytes={max_bytes}: allowed is enough for a byte in each part"
        )
    root = Path(sysconfig.get_path("stdlib"))
    files = source_files(root)
    random.Random(seed).shuffle(files)
    valid, valid_files, rest = _deal(files, for_valid)
    train, train_files, _ = _deal(rest, max_bytes - for_valid)
    if len(train) < max_bytes - for_valid:
        raise ValueError(
            f"max_bytes={max_bytes}: allowed here is {for_valid + len(train)} or less"
        )
    names = [
        tuple(f.relative_to(root).as_posix() for f in part)
        for part in (train_files, valid_files)
    ]
    return Corpus(as_tokens(train), as_tokens(valid), *names)


def source_files(root: Path) -> list[Path]:
    """Return the library's own Python files under `root`, sorted by name.

    Tests, optional parts, tables and generated files are left out (see the top of this
    module).
    """
    files = (f for f in root.rglob("*.py") if not _left_out(f.relative_to(root)))
    return sorted(files, key=lambda f: f.relative_to(root).as_posix())


def pydoc_topics() -> Mapping[str, str]:
    """Return Python's language reference as `help()` shows it: topic -> English text.

    >>> "assert" in pydoc_topics()["assert"]
    True
    """
    from pydoc_data.topics import topics

    return dict(sorted(topics.items()))


def as_tokens(text: str | bytes) -> Int[Tensor, " n"]:
    """Turn text into byte tokens, int64 [n]; a `str` is encoded as UTF-8 first.

    >>> as_tokens("Aé").tolist()
    [65, 195, 169]
    """
    data = text.encode() if isinstance(text, str) else text
    return (
        torch.frombuffer(bytearray(data), dtype=torch.uint8).long()
        if data
        else torch.empty(0).long()
    )


def as_text(tokens: Int[Tensor, " n"]) -> str:
    """Turn byte tokens back into text; bytes that are not UTF-8 become the replacement
    character.

    >>> as_text(as_tokens("def f(): ..."))
    'def f(): ...'
    """
    return bytes(tokens.tolist()).decode(errors="replace")


def sample(
    tokens: Int[Tensor, " n"], batch: int, length: int, generator: torch.Generator
) -> tuple[Int[Tensor, "b t"], Int[Tensor, "b t"]]:
    """Draw `batch` windows at random places: inputs, and the same windows one token
    later.

    Args:
        tokens: a stream, int64 [n].
        batch, length: b and t.
        generator: a CPU generator; the only source of chance.
    Raises:
        ValueError: if `batch` or `length` is below 1, or the stream has no `length + 1`
        tokens.

    >>> x, y = sample(torch.arange(100), 2, 5, torch.Generator().manual_seed(0))
    >>> bool((y == x + 1).all()), tuple(x.shape)
    (True, (2, 5))
    """
    _check(tokens, batch, length)
    starts = torch.randint(len(tokens) - length, (batch, 1), generator=generator)
    windows = tokens[(starts + torch.arange(length + 1)).to(tokens.device)]
    return windows[:, :-1], windows[:, 1:]


def batches(
    tokens: Int[Tensor, " n"], batch: int, length: int, generator: torch.Generator
) -> Iterator[tuple[Int[Tensor, "b t"], Int[Tensor, "b t"]]]:
    """Yield `sample(tokens, batch, length, generator)` without end; arguments and
    errors as there.
    """
    _check(tokens, batch, length)
    return iter(lambda: sample(tokens, batch, length, generator), None)


def blocks(
    tokens: Int[Tensor, " n"], batch: int, length: int, *, limit: int | None = None
) -> list[tuple[Int[Tensor, "b t"], Int[Tensor, "b t"]]]:
    """Cut the stream into neighbouring windows, each predicted token once: batches to
    evaluate on.

    Args:
        tokens, batch, length: as in `sample`; the last batch may be smaller, a last
            short window is dropped.
        limit: at most this many batches; all when None.

    >>> [(x.tolist(), y.tolist()) for x, y in blocks(torch.arange(6), 1, 2)]
    [([[0, 1]], [[1, 2]]), ([[2, 3]], [[3, 4]])]
    """
    _check(tokens, batch, length)
    count = (len(tokens) - 1) // length
    inputs = tokens[: count * length].view(count, length)
    targets = tokens[1 : count * length + 1].view(count, length)
    return list(zip(inputs.split(batch), targets.split(batch), strict=True))[:limit]


def _left_out(name: Path) -> bool:
    return bool(_LEFT_OUT & set(name.parts)) or any(
        part.startswith(_GENERATED) for part in name.parts
    )


def _deal(files: list[Path], size: int) -> tuple[bytes, list[Path], list[Path]]:
    """Take files until `size` bytes are there: the bytes, the files used, the files
    left.
    """
    data, used = bytearray(), 0
    while used < len(files) and len(data) < size:
        data += files[used].read_bytes()
        used += 1
    return bytes(data[:size]), files[:used], files[used:]


def _check(tokens: Tensor, batch: int, length: int) -> None:
    if batch < 1 or length < 1:
        raise ValueError(
            f"batch={batch}, length={length}: allowed is 1 or more of each"
        )
    if len(tokens) <= length:
        raise ValueError(
            f"length={length}: allowed is less than the {len(tokens)} tokens there are"
        )
