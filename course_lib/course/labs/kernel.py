"""One kernel for student code: started with bounds, asked cell by cell, killed.

Whatever a cell does ends in one word: ok, error, timeout, died or flood. What it prints
and raises is bounded in the kernel itself, so that 2 GB of text never become a message.
"""

import math
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from jupyter_client import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_notebook

from course_lib.course.labs.isolate import MARK

KEPT_ENVIRONMENT = ["PATH", "VIRTUAL_ENV", "PYTHONPATH", "LD_LIBRARY_PATH"]
KEPT_ENVIRONMENT += ["SYSTEMROOT", "LANG", "TMPDIR", "TEMP", MARK]
FLOODED = 113  # the exit code of a kernel that was asked to say too much
VALUES = "application/x-course-values"  # what a witness shows, see `witness`
PRELUDE = """
import os
import sys
# IPython's own exit would stop the kernel after the cell, and blame the next one.
exit = quit = sys.exit
# Nobody reads the tracebacks, and long ones are slow to make.
get_ipython().InteractiveTB.set_mode("Minimal")
def _bound(shell, stream, most):
    # A flood ends here, before it is a message: 2 GB of text need not reach the grader.
    write, said = stream.write, [0]
    def bounded(self, text):
        said[0] += len(text)
        if said[0] > most:
            os._exit({flooded})
        return write(self, text)
    def told(shell, kind, error, trace, tb_offset=None):
        if len(str(error)) > most:
            os._exit({flooded})
        shell.showtraceback((kind, error, trace), running_compiled_code=True)
    # IPython sets `write` on the stream itself; a property is asked first.
    stream.write = property(lambda self: bounded.__get__(self), lambda *_: None)
    shell.events.register("pre_run_cell", lambda *_: said.__setitem__(0, 0))
    shell.set_custom_exc((BaseException,), told)
_bound(get_ipython(), type(sys.stdout), {output})
del _bound
def _sendable(session):
    # UTF-8 has no lone surrogates: with one in it a reply was never sent.
    import json
    from jupyter_client.jsonutil import json_default
    pack = session.pack
    def packed(message):
        try:
            return pack(message)
        except UnicodeError:
            text = json.dumps(message, default=json_default, ensure_ascii=False)
            return text.encode(errors="replace")
    session.pack = packed
_sendable(get_ipython().kernel.session)
del _sendable
try:
    import resource
    resource.setrlimit(resource.RLIMIT_DATA, ({memory}, {memory}))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
except (ImportError, ValueError, OSError):
    pass
"""


@dataclass(frozen=True)
class Limits:
    """What a submission may use: seconds a cell and in all, bytes of output a cell, of
    memory (Linux).
    """

    cell_s: float = 30.0
    total_s: float = 300.0
    output_bytes: int = 2 * 2**20
    memory_bytes: int = 8 * 2**30


@dataclass(frozen=True)
class Outcome:
    """How one cell ended: ok, error, timeout, died, flood, late (never started) or
    skipped (a witness without points to confirm); what it said; and the values that a
    witness showed.
    """

    status: str
    message: str = ""
    shown: str = ""

    @property
    def fatal(self) -> bool:
        """True if the kernel is gone."""
        return self.status in ("timeout", "died", "flood")


class _Client(NotebookClient):
    """A notebook client that notices floods and keeps the kernel's reply."""

    output_limit = 0
    received = 0
    reply: dict | None = None

    def process_message(
        self, msg: dict, cell: NotebookNode, cell_index: int
    ) -> NotebookNode | None:
        if msg["msg_type"] in (
            "stream",
            "display_data",
            "execute_result",
            "update_display_data",
            "error",
        ):
            self.received += len(str(msg["content"]))
            if self.received > self.output_limit:
                self.task_poll_for_reply.cancel()
                return None
        return super().process_message(msg, cell, cell_index)

    async def on_reply(self, execute_reply: dict, **_: object) -> None:
        self.reply = execute_reply["content"]


class Session:
    """One kernel: `start`, `run` cells, `kill`."""

    def __init__(
        self, folder: Path, limits: Limits, runtime: str = "", private: bool = False
    ) -> None:
        self.folder, self.limits = folder, limits
        over = {"connection_file": f"{runtime}.json"} if runtime else {}
        over |= {"transport": "ipc", "ip": runtime} if private else {}
        self.manager = AsyncKernelManager(kernel_name="python3", **over)
        self.client = _Client(
            new_notebook(),
            km=self.manager,
            allow_errors=True,
            raise_on_iopub_timeout=False,
        )
        self.client.interrupt_on_timeout = False
        self.client.output_limit = limits.output_bytes
        self.client.on_cell_executed = self.client.on_reply
        self.client.log.disabled = True

    async def start(self) -> None:
        """Start the kernel and set its bounds."""
        home = str(self.folder)
        kept = {
            name: os.environ[name] for name in KEPT_ENVIRONMENT if name in os.environ
        }
        fixed = {
            "HOME": home,
            "IPYTHONDIR": home,
            "OMP_NUM_THREADS": "1",
            "COURSE_PROFILE": "smoke",
        }
        fixed |= {"PYTHONDONTWRITEBYTECODE": "1", "PYDEVD_DISABLE_FILE_VALIDATION": "1"}
        await self.manager.start_kernel(
            cwd=home,
            env=kept | fixed,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.client.kc = self.manager.client()
        self.client.kc.start_channels()
        await self.client.kc.wait_for_ready(timeout=60)
        self.client.kc.allow_stdin = False
        bounds = {
            "memory": self.limits.memory_bytes,
            "output": self.limits.output_bytes,
            "flooded": FLOODED,
        }
        await self.run(PRELUDE.format(**bounds), 60)

    async def run(self, source: str, seconds: float) -> Outcome:
        """Run one cell for at most `seconds`; after a fatal outcome only `kill` is left
        to call.
        """
        cell = new_code_cell(source)
        self.client.nb.cells = [cell]
        self.client.timeout = max(1, math.ceil(seconds))
        self.client.received, self.client.reply = 0, None
        try:
            await self.client.async_execute_cell(cell, 0)
        except CellTimeoutError:
            return Outcome("timeout", f"no end after {self.client.timeout} s")
        except DeadKernelError:
            if await self._flooded():
                most = f"{self.limits.output_bytes // 2**20} MiB"
                return Outcome("flood", f"more than {most} of output")
            return Outcome(
                "died", "the kernel died (os._exit, a crash, or out of memory)"
            )
        reply = self.client.reply or {"status": "ok"}
        if reply["status"] == "ok":
            shown = [o.get("data", {}).get(VALUES, "") for o in cell.outputs]
            return Outcome("ok", shown=str(shown[-1]) if shown else "")
        return Outcome(
            "error", f"{reply.get('ename', 'Error')}: {reply.get('evalue', '')}"
        )

    async def _flooded(self) -> bool:
        """True if the kernel is gone for having said too much."""
        ended = getattr(self.manager.provisioner, "process", None)
        code = None if ended is None else ended.poll()
        return code == FLOODED or self.client.received > self.limits.output_bytes

    async def kill(self) -> None:
        """Kill the kernel and what it started, and release its ports."""
        if self.client.kc is not None:
            self.client.kc.stop_channels()
        if self.manager.has_kernel:
            await self.manager.shutdown_kernel(now=True)
        await self.manager.cleanup_resources()
