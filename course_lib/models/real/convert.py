"""A GGUF file turned once into a checkpoint folder of Hugging Face, which loads in a
second.

Reading the vocabulary and turning 4-bit blocks into float32 takes seconds; the result
is the same every time. So it is written beside the source: `config.json`,
`model.safetensors` (float32, 538 MB for SmolLM2-135M), `tokenizer.json`,
`chat_template.jinja`, and `converted.json` with the checksums of what it was made from
and of what was made.

Terms:
    weight conversion, converted checkpoint: the same weights written in another format,
        once -> convert, converted_folder
"""

import json
import shutil
import tempfile
from pathlib import Path

from safetensors.torch import save_file

from course_lib.models.real.assets import CONVERTED, Asset, checked_folder, sha256

RECORD, WEIGHTS, TOKENIZER = "converted.json", "model.safetensors", "tokenizer.json"
TEMPLATE = "chat_template.jinja"
VERSION = 1
"""Of the conversion: a higher number makes old folders be written anew."""


def converted_folder(wanted: Asset) -> Path:
    """The checkpoint folder of a model that was fetched as GGUF; made if it is not
    there, or not whole, or of another source.

    Raises:
        ModelMissing, ValueError: as `checked_folder`.

    *Cost*: the first time, about 7 s for 135 million weights; later one read of the
        written file for its checksum, under a second.
    """
    folder = wanted.folder / CONVERTED
    if not is_whole(folder, wanted.weights_sha256):
        convert(checked_folder(wanted) / wanted.weights, folder, wanted.weights_sha256)
    return folder


def is_whole(folder: Path, source_sha256: str) -> bool:
    """Whether a folder was written by this version, from that source, and its weights
    are what was written.
    """
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        made_of = record["version"], record["source_sha256"]
        weights = record["weights_sha256"]
    except (OSError, ValueError, KeyError, TypeError):
        return False
    path = folder / WEIGHTS
    return (
        made_of == (VERSION, source_sha256)
        and path.is_file()
        and sha256(path) == weights
    )


def convert(source: Path, folder: Path, source_sha256: str) -> None:
    """Write the checkpoint folder of a GGUF file; one that is there is replaced.

    It is put in place whole or not at all, so two processes may do it at once.
    """
    # Imported here: a converted model is loaded without it.
    from course_lib.models.real.gguf_llama import LlamaFile
    from course_lib.models.real.text import tokenizer_from_gguf

    file = LlamaFile(source)
    tokenizer = tokenizer_from_gguf(file.metadata)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".converting-") as made:
        fresh = Path(made) / CONVERTED
        fresh.mkdir()
        save_file(dict(file.tensors()), fresh / WEIGHTS, metadata={"format": "pt"})
        tokenizer.engine.save(str(fresh / TOKENIZER))
        (fresh / TEMPLATE).write_text(tokenizer.chat_template or "", encoding="utf-8")
        _write(fresh / "config.json", file.config())
        record = {
            "version": VERSION,
            "source_sha256": source_sha256,
            "weights_sha256": sha256(fresh / WEIGHTS),
            "end": tokenizer.engine.id_to_token(tokenizer.end),
        }
        _write(fresh / RECORD, record)
        shutil.rmtree(folder, ignore_errors=True)
        try:
            fresh.rename(folder)
        except OSError:
            if not is_whole(folder, source_sha256):
                raise  # not that another process was faster


def _write(path: Path, content: dict[str, object]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
