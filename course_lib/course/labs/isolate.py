"""Start a worker that cannot reach the grader, and end it with all that it started.

Where Linux allows it, a worker is the first process of a PID namespace of its own, in a
network namespace without an interface: the code below it sees no process of the grader
and no network, a signal to its parent is not delivered, and when it ends the kernel
ends every process that it left. Elsewhere it leads a session of its own, and what it
left is found by a mark in its environment. Neither hides the files of this machine: for
strangers' submissions there is the container line of `labs/README.md`.
"""

import asyncio
import contextlib
import functools
import os
import secrets
import shutil
import signal
import subprocess
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Sequence

import psutil

MARK = "COURSE_WORKER"
NAMESPACE = ["--pid", "--fork", "--kill-child", "--mount-proc", "--net"]
LONGEST_LINE = 64 * 2**20
PASSES = 10  # over what a worker left: a stray may have started another meanwhile


@functools.cache
def namespaces() -> tuple[str, ...]:
    """The command that gives its argument namespaces of its own; empty where that is
    not allowed.
    """
    unshare = shutil.which("unshare") if sys.platform == "linux" else None
    for user in ([], ["--user", "--map-root-user"]) if unshare else ():
        command = [str(unshare), *user, *NAMESPACE]
        tried = subprocess.run([*command, "true"], capture_output=True, check=False)
        if tried.returncode == 0:
            return tuple(command)
    return ()


class Worker:
    """One process, its mark, and its end.

    >>> async def ask():
    ...     worker = await Worker.start(["-c", "print(input().upper())"])
    ...     async with worker:
    ...         return await worker.ask("answer", 60)
    >>> asyncio.run(ask())
    ['ANSWER']
    """

    def __init__(self, process: Process, mark: str) -> None:
        self.process, self.mark = process, mark

    @classmethod
    async def start(cls, arguments: Sequence[str], temporary: str = "") -> "Worker":
        """Start this Python with `arguments`, in its own namespaces where allowed;
        `temporary` is the folder for what it leaves in files.
        """
        there = {name: temporary for name in ("TMPDIR", "TEMP", "TMP") if temporary}
        mark = secrets.token_hex(16)
        process = await asyncio.create_subprocess_exec(
            *namespaces(),
            sys.executable,
            *arguments,
            stdin=PIPE,
            stdout=PIPE,
            stderr=DEVNULL,
            env=os.environ | there | {MARK: mark},
            start_new_session=True,
            limit=LONGEST_LINE,
        )
        return cls(process, mark)

    async def ask(self, line: str, seconds: float) -> list[str]:
        """Send one line and return the lines that came back, until the worker ended or
        `seconds` were over; an answer cut short is what came.
        """
        said: list[str] = []
        assert self.process.stdin is not None and self.process.stdout is not None
        with contextlib.suppress(TimeoutError, ConnectionError, ValueError):
            async with asyncio.timeout(seconds):
                self.process.stdin.write(line.encode() + b"\n")
                await self.process.stdin.drain()
                self.process.stdin.close()
                async for heard in self.process.stdout:
                    said.append(heard.decode(errors="replace").rstrip("\n"))
        return said

    async def __aenter__(self) -> "Worker":
        return self

    async def __aexit__(self, *_: object) -> None:
        """End the worker, its session, and what carries its mark."""
        # Not Process.kill: that asks for the exit code, and asyncio then misses it.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        await self.process.wait()
        for _ in range(PASSES):
            if not (found := strays(self.mark)):
                break
            for stray in found:
                with contextlib.suppress(psutil.Error):
                    stray.kill()
            psutil.wait_procs(found, timeout=1)  # a killed process takes a while to go


def strays(mark: str) -> list[psutil.Process]:
    """Processes whose environment carries `mark`."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.environ().get(MARK) == mark:
                found.append(process)
    return found
