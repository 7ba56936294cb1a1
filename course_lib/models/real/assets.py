"""Where the trained models lie, and whether they are there and whole.

`make models` puts them into `.models/` at the root of the repository, or into the
folder that COURSE_MODELS names. Nothing here fetches anything.

Terms:
    trained models, model assets: published weights that are fetched once, pinned by a
        checksum -> Asset, checked_folder
"""

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LOCK = Path(__file__).parent / "models.lock.json"
ROOT = Path(__file__).resolve().parents[3]
VARIABLE = "COURSE_MODELS"
CONVERTED = "converted"
FETCH = "run `make models`, or `python tools/vendor_models.py`"


class ModelMissing(FileNotFoundError):
    """A trained model is not on this machine; the message says how to fetch it."""


@dataclass(frozen=True, kw_only=True)
class Asset:
    """One entry of `models.lock.json`.

    Attributes:
        name: as `load_real` takes it.
        wheel: the package and version that the files were published in.
        weights: the file of the weights, in `folder`.
        weights_sha256, weights_bytes: its checksum and its size.
        licence: of the weights.
        about: who made the model, and in which precision the file holds it.
    """

    name: str
    wheel: str
    weights: str
    weights_sha256: str
    weights_bytes: int
    licence: str
    about: str

    @property
    def folder(self) -> Path:
        """Where its files lie, or would lie."""
        chosen = os.environ.get(VARIABLE)
        return (Path(chosen) if chosen else ROOT / ".models") / self.name


def assets() -> dict[str, Asset]:
    """The models that the course knows, by name.

    >>> list(assets())
    ['smollm2-135m', 'minilm-l6']
    """
    entries: dict[str, Any] = json.loads(LOCK.read_text(encoding="utf-8"))
    fields = Asset.__dataclass_fields__.keys() - {"name"}
    return {
        name: Asset(name=name, **{field: entry[field] for field in fields})
        for name, entry in entries.items()
    }


def asset(name: str) -> Asset:
    """One of them.

    Raises:
        ValueError: no model has that name.

    >>> asset("smollm2-135m").licence
    'Apache-2.0'
    """
    known = assets()
    if name not in known:
        raise ValueError(f"name={name!r}: allowed are {', '.join(known)}")
    return known[name]


def checked_folder(wanted: Asset) -> Path:
    """The folder of a model whose weights are there and whole.

    Raises:
        ModelMissing: they are not there; the message says what to run.
        ValueError: the file is another than the pinned one.

    *Cost*: one read of the file, about 0.2 s for 100 MB.
    """
    path = wanted.folder / wanted.weights
    if not path.is_file():
        raise ModelMissing(f"{wanted.name} is not on this machine: {FETCH}")
    if sha256(path) != wanted.weights_sha256:
        raise ValueError(
            f"{wanted.name}: {path.name} is another file than the pinned one: {FETCH}"
        )
    return wanted.folder


def state(wanted: Asset) -> dict[str, Any]:
    """What is on this machine, for `course doctor`: JSON, keys name their units.

    *Cost*: as `checked_folder`.
    """
    path = wanted.folder / wanted.weights
    present = path.is_file()
    return {
        "name": wanted.name,
        "about": wanted.about,
        "licence": wanted.licence,
        "present": present,
        "weights_bytes": path.stat().st_size if present else None,
        "checksum_ok": sha256(path) == wanted.weights_sha256 if present else None,
        "converted": (wanted.folder / CONVERTED).is_dir(),
    }


def sha256(path: Path) -> str:
    """The checksum of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
