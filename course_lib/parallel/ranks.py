"""Processes that share a model (ranks): a process group, a ring all-reduce made of
sends, and the bytes that they send.

Symbols: D ranks, n numbers of a tensor.

`run_ranks` starts D processes on this machine, over gloo on the CPU or nccl on GPUs.
They meet in a file, talk over the loopback device and need no network. A group gives up
after its time limit, and no process outlives the call.

Under `torchrun --nproc-per-node=2 script.py` the processes are there already:

    torch.distributed.init_process_group("gloo", timeout=timedelta(seconds=60))
    ranks = Ranks()

Terms:
    process group, rank, world size: processes that talk to each other, the number of
        one, and how many they are -> Ranks, run_ranks
    reduce-scatter, all-gather: the two halves of a ring all-reduce: sums travel round
        the ranks piece by piece, then the finished pieces do -> Ranks.all_reduce
"""

import os
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from datetime import timedelta
from multiprocessing import get_context
from pathlib import Path
from queue import Empty
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

LOOPBACK = {"linux": "lo", "darwin": "lo0"}


class Ranks:
    """This process's place in its group.

    Args:
        group: the processes; all of them when left out.

    Attributes:
        rank, count: this process's number in the group, and D.
        sent_bytes, all_reduces: what this process has sent, in how many all-reduces.

    Raises:
        ValueError: no process group has been started.
    """

    def __init__(self, group: dist.ProcessGroup | None = None) -> None:
        if not dist.is_initialized():
            raise ValueError(
                "group=None: allowed once init_process_group or run_ranks has run"
            )
        self.group = group
        self.rank, self.count = dist.get_rank(group), dist.get_world_size(group)
        self.sent_bytes = self.all_reduces = 0

    def all_reduce(self, part: Tensor) -> Tensor:
        """The sum of what all ranks hold, by a ring.

        In turn i of the first D - 1, rank r sends piece r - i to its right neighbour,
        which adds it to its own. Rank r then holds the finished piece r + 1, and in D -
        1 further turns the finished pieces go round.

        Returns: a new tensor, the same on every rank.

        *Cost*: 2 (D - 1) / D n numbers sent by each (n rounded up to whole pieces).
        """
        self.all_reduces += 1
        size = part.numel()
        whole = torch.nn.functional.pad(part.flatten(), (0, -size % self.count))
        pieces = whole.clone().view(self.count, -1)
        for turn in range(2 * (self.count - 1)):
            arrived = self._pass_right(pieces[(self.rank - turn) % self.count])
            there = pieces[(self.rank - turn - 1) % self.count]
            summing = turn < self.count - 1
            there.copy_(there + arrived if summing else arrived)
        return pieces.flatten()[:size].view_as(part)

    def passing_right(self, piece: Tensor) -> Callable[[], Tensor]:
        """Begin to send a piece to the right neighbour. What is returned waits, and
        gives what the left one sent; between the two there is time to compute.
        """
        if self.count == 1:
            return lambda: piece
        right, left = (self.rank + 1) % self.count, (self.rank - 1) % self.count
        sent = piece.contiguous()
        held = sent, torch.empty_like(sent)  # both live till they are through
        both = [
            dist.P2POp(dist.isend, held[0], self._number(right), self.group),
            dist.P2POp(dist.irecv, held[1], self._number(left), self.group),
        ]
        self.sent_bytes += piece.nbytes
        requests = dist.batch_isend_irecv(both)

        def wait() -> Tensor:
            for request in requests:
                request.wait()
            return held[1]

        return wait

    def _pass_right(self, piece: Tensor) -> Tensor:
        """Send a piece to the right neighbour; return what the left one sent."""
        return self.passing_right(piece)()

    def _number(self, rank: int) -> int:
        """A rank's number among all processes."""
        return rank if self.group is None else dist.get_global_rank(self.group, rank)


def run_ranks(
    work: Callable[..., Any],
    count: int,
    *arguments: Any,
    backend: str = "gloo",
    limit_s: float = 120.0,
) -> list[Any]:
    """Call `work(Ranks(), *arguments)` in `count` new processes.

    Args:
        work: a function of a module (it is found by its name in the new processes).
        count: D, at least 1.
        arguments: for every process; they and the results must pickle.
        backend: "gloo", or "nccl" with a GPU for each rank.
        limit_s: seconds for all of it, start included.

    Returns: the results, by rank.

    Raises:
        ValueError: `count` is below 1.
        RuntimeError: a process failed; the message has its traceback.
        TimeoutError: the time was up.
    """
    if count < 1:
        raise ValueError(f"count={count}: a whole number of at least 1 is allowed")
    context, end = get_context("spawn"), time.monotonic() + limit_s
    results, found = context.Queue(), {}
    with tempfile.TemporaryDirectory() as folder:
        meeting = str(Path(folder, "ranks"))
        fixed = (count, backend, limit_s, meeting, results, work, arguments)
        processes = [
            context.Process(target=_one_rank, args=(rank, *fixed), daemon=True)
            for rank in range(count)
        ]
        try:
            for process in processes:
                process.start()
            while len(found) < count:
                rank, result, problem = _next_result(results, processes, end)
                if problem:
                    found = {rank: problem} | _further(results, processes)
                    raise RuntimeError(
                        "\n".join(
                            f"rank {rank}: {found[rank]}" for rank in sorted(found)
                        )
                    )
                found[rank] = result
            for process in processes:
                process.join(max(0.0, end - time.monotonic()))
        finally:
            for process in processes:
                if process.is_alive():
                    process.kill()
                if process.pid is not None:
                    process.join()
    return [found[rank] for rank in range(count)]


def _next_result(results, processes, end: float) -> tuple[int, Any, str]:
    """The next (rank, result, problem), waiting no longer than until `end`."""
    while time.monotonic() < end:
        try:
            return results.get(timeout=0.2)
        except Empty:
            gone = [
                i for i, one in enumerate(processes) if one.exitcode not in (None, 0)
            ]
            if gone:
                return gone[0], None, f"exit code {processes[gone[0]].exitcode}"
    raise TimeoutError("the ranks took longer than limit_s allows")


def _further(results, processes) -> dict[int, str]:
    """Problems that other ranks report within a second: a rank that lost its neighbour
    may have spoken before the one that failed.
    """
    problems, end = {}, time.monotonic() + 1
    while time.monotonic() < end:
        try:
            rank, _, problem = _next_result(results, processes, end)
        except TimeoutError:
            break
        if problem:
            problems[rank] = problem
        if processes[rank].exitcode:
            break
    return problems


def _one_rank(
    rank: int,
    count: int,
    backend: str,
    limit_s: float,
    meeting: str,
    results,
    work,
    given,
) -> None:
    """What a new process does: join the group, work, leave."""
    torch.set_num_threads(1)
    if sys.platform in LOOPBACK:
        os.environ.setdefault("GLOO_SOCKET_IFNAME", LOOPBACK[sys.platform])
    try:
        if backend == "nccl":
            torch.cuda.set_device(rank)
        dist.init_process_group(
            backend,
            store=dist.FileStore(meeting, count),
            rank=rank,
            world_size=count,
            timeout=timedelta(seconds=limit_s),
        )
        try:
            results.put((rank, work(Ranks(), *given), ""))
        finally:
            dist.destroy_process_group()
    except Exception:
        results.put((rank, None, traceback.format_exc()))
