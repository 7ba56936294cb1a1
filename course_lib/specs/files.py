"""Reads a file that describes a model, known by its content and not by its name: JSON
in any of its encodings, the header of a GGUF file, the header of a safetensors file.

A message names the file's kind and what is wanted, and repeats none of its content.
"""

import codecs
import json
from pathlib import Path
from typing import Any

from course_lib.specs.documents import MOST_CHARACTERS, too_long
from course_lib.specs.gguf_header import gguf_config
from course_lib.specs.safetensors_header import describe_header

MOST_BYTES = 64 * 2**20
BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
OTHERS = (
    (b"PK\x03\x04", "a zip archive, such as PyTorch's pytorch_model.bin"),
    (b"\x80\x02", "a pickle, such as PyTorch's pytorch_model.bin"),
    (b"\x89HDF", "an HDF5 file, such as Keras' tf_model.h5"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"version https://", "a pointer of Git LFS, not the file itself"),
    (b"<!DOCTYPE", "a page of HTML"),
    (b"<html", "a page of HTML"),
    (b"%PDF", "a PDF"),
    (b"\x7fELF", "a program"),
    (b"\x93NUMPY", "an array of NumPy"),
)
"""How other files begin, and what they are."""


def read_document(path: Path) -> Any:
    """Return what a file says of a model: the value of its JSON, or the fields of a
    config made from a GGUF header.

    Raises:
        ValueError: if it cannot be read, or is of a kind that describes no model.
    """
    try:
        with path.open("rb") as file:
            start = file.read(16)
            if start[:4] == b"GGUF":
                return gguf_config(path)
            if is_safetensors(start):
                raise ValueError(describe_header(path))
            for magic, kind in OTHERS:
                if start.startswith(magic):
                    raise refused(path, f"{kind}; a config.json is wanted")
            data = start + file.read(MOST_BYTES)
    except OSError as error:
        raise refused(path, f"not readable ({error.strerror})") from error
    if len(data) > MOST_BYTES:
        raise refused(path, f"above {MOST_BYTES >> 20} MiB; a config.json is wanted")
    return parsed(path, data)


def is_safetensors(start: bytes) -> bool:
    """Whether a file begins with the length of a header and the header's bracket."""
    length = int.from_bytes(start[:8], "little")
    return len(start) == 16 and 2 <= length < 10**9 and start[8:10] in (b'{"', b"{}")


def parsed(path: Path, data: bytes) -> Any:
    """Return the value of a JSON text, in UTF-8, UTF-16 or UTF-32, with a mark at its
    start or without.
    """
    encoding = next((name for mark, name in BOMS if data.startswith(mark)), None)
    if encoding is None:
        encoding = json.detect_encoding(data)
    try:
        text = data.decode(encoding)
        if len(text) > MOST_CHARACTERS:
            raise too_long(text)
        return json.loads(text)
    except UnicodeDecodeError:
        raise refused(path, "no text; a config.json is wanted") from None
    except RecursionError:
        raise refused(path, "nested too deeply") from None
    except json.JSONDecodeError as error:
        raise refused(path, f"not JSON ({str(error)[:100]})") from None


def refused(path: Path, why: str) -> ValueError:
    """Return the refusal of a file."""
    return ValueError(f"config={str(path)[-60:]!r}: {why}")
