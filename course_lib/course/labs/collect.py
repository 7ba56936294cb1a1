"""Find what a class handed in, and read all of it before anything runs.

A folder comes as file managers, browsers and learning management systems leave it:
notebooks in any layout and under any name (`-Copy1`, ` (1)`, `ada_LATE_123_...`,
`.IPYNB`), archives of them, and other files. Each notebook is one submission. What is
not read has a reason, so that no student is lost without a word.
"""

import io
import os
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from nbformat import NotebookNode

from course_lib.course.labs.submission import (
    MAX_FILE_BYTES,
    Unreadable,
    read_notebook,
    read_submission,
)

MOST_ENTRIES = 10_000
MOST_UNPACKED_BYTES = 2**30
DEEPEST_ARCHIVE = 2
NOT_HANDED_IN = {".ipynb_checkpoints", "__MACOSX"}


@dataclass(frozen=True)
class Found:
    """One file: its name below the folder, and its notebook, or why there is none."""

    name: str
    notebook: NotebookNode | None = None
    reason: str = ""
    kind: str = "unreadable"


def collect(folder: Path) -> list[Found]:
    """Read every submission in `folder`, a folder or a zip file, sorted by name.

    Hidden files and Jupyter's checkpoints are passed over; a link that leads out of the
    folder, or nowhere, is not followed.

    Raises: ValueError if `folder` is neither.
    """
    if folder.is_dir():
        found = list(_in_folder(folder))
    elif folder.is_file() and zipfile.is_zipfile(folder):
        found = list(_in_archive(folder.read_bytes(), "", []))
    else:
        raise ValueError(
            f"submissions {str(folder)!r}: allowed are a folder and a zip file"
        )
    return _distinct(sorted(found, key=lambda one: one.name))


def _in_folder(folder: Path) -> Iterator[Found]:
    home = folder.resolve()
    closed: list[OSError] = []
    for place, folders, files in os.walk(folder, onerror=closed.append):
        folders[:] = [name for name in folders if not _passed_over(name)]
        links = [name for name in folders if (Path(place) / name).is_symlink()]
        for file in [*links, *files]:
            path = Path(place) / file
            name = _printable(path.relative_to(folder).as_posix())
            if _passed_over(file):
                continue
            if path.is_symlink() and not path.exists():
                yield Found(name, reason="a link that leads nowhere")
            elif path.is_symlink() and not path.resolve().is_relative_to(home):
                yield Found(name, reason="a link that leads out of the folder")
            elif path.is_symlink() and path.is_dir():
                yield Found(name, reason="a link to a folder", kind="not read")
            elif not path.is_file():
                yield Found(name, reason="not a plain file", kind="not read")
            elif path.suffix.lower() == ".zip":
                yield from _archive_at(path, name)
            else:
                yield _read(name, lambda path=path: read_submission(path))
    for error in closed:
        name = _printable(Path(error.filename).relative_to(folder).as_posix())
        yield Found(name, reason=f"the folder cannot be opened ({error.strerror})")


def _archive_at(path: Path, name: str) -> Iterator[Found]:
    try:
        if path.stat().st_size > MOST_UNPACKED_BYTES:
            raise OSError(0, "larger than 1 GiB")
        yield from _in_archive(path.read_bytes(), name + "/", [])
    except OSError as error:
        yield Found(name, reason=f"the archive cannot be read ({error.strerror})")


def _in_archive(
    data: bytes, before: str, unpacked: list[int], depth: int = 1
) -> Iterator[Found]:
    """Read an archive, and archives in it down to `DEEPEST_ARCHIVE`; sizes are bounded
    by what comes out, not by what the archive says. `unpacked` holds the sizes of what
    came out of it and of those around it so far.
    """
    here = before.rstrip("/") or "the archive"
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
    except (zipfile.BadZipFile, OSError, ValueError):
        yield Found(here, reason="the archive is damaged")
        return
    for number, entry in enumerate(archive.infolist()):
        name = before + _printable(entry.filename.replace("\\", "/"))
        if entry.is_dir() or any(map(_passed_over, entry.filename.split("/"))):
            continue
        if (
            max(number, len(unpacked)) >= MOST_ENTRIES
            or sum(unpacked) > MOST_UNPACKED_BYTES
        ):
            yield Found(here, reason="the archive holds too much; the rest is not read")
            return
        ending = Path(entry.filename).suffix.lower()
        if ending not in (".ipynb", ".zip"):
            yield Found(name, reason=_no_notebook(entry.filename), kind="not read")
            continue
        try:
            with archive.open(entry) as file:
                content = file.read(MAX_FILE_BYTES + 1)
        # zipfile raises many errors: bad checksums, passwords, unknown compression
        except Exception as error:
            yield Found(name, reason=f"cannot be unpacked ({str(error)[:120]})")
            continue
        unpacked.append(len(content))
        if ending == ".ipynb":
            yield _read(name, lambda content=content: read_notebook(content))
        elif depth < DEEPEST_ARCHIVE:
            yield from _in_archive(content, name + "/", unpacked, depth + 1)
        else:
            yield Found(name, reason="an archive in an archive in an archive")


def _read(name: str, read) -> Found:
    if Path(name).suffix.lower() != ".ipynb":
        return Found(name, reason=_no_notebook(name), kind="not read")
    try:
        return Found(name, notebook=read())
    except Unreadable as error:
        return Found(name, reason=str(error))


def _no_notebook(name: str) -> str:
    return f"a {Path(name).suffix or 'file without an ending'}, not a notebook (.ipynb)"


def _passed_over(name: str) -> bool:
    return name in NOT_HANDED_IN or (name[:1] == "." and name not in (".", ".."))


def _printable(name: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in name)


def _distinct(found: list[Found]) -> list[Found]:
    """Number the names that an archive holds twice."""
    seen: dict[str, int] = {}
    for at, one in enumerate(found):
        seen[one.name] = seen.get(one.name, 0) + 1
        if seen[one.name] > 1:
            name = f"{one.name} ({seen[one.name]})"
            found[at] = Found(name, one.notebook, one.reason, one.kind)
    return found
