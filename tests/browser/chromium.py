"""Find a Chromium on this machine, and the flags under which it asks nobody for anything.

Run as a script it prints the path, or exits with 1: `make test` uses that to decide whether to install one.
"""

import os
import shutil
import sys
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge")
PLACES = (
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "C:/Program Files/Google/Chrome/Application/chrome.exe",
    "C:/Program Files (x86)/Microsoft/Edge/Application/msedge.exe",
)
FLAGS = [
    "--no-sandbox",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-domain-reliability",
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--disable-sync",
    "--no-first-run",
    "--no-proxy-server",
]


def find() -> str | None:
    """Return the path of a Chromium: $CHROMIUM, else one on the PATH, else a usual place."""
    if chosen := os.environ.get("CHROMIUM"):
        return chosen
    on_path = filter(None, map(shutil.which, NAMES))
    return next(on_path, None) or next(filter(os.path.exists, PLACES), None)


if __name__ == "__main__":
    found = find()
    print(Path(found).as_posix() if found else "no Chromium found; name one with CHROMIUM=/path/to/it")
    sys.exit(found is None)
