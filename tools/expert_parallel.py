"""Expert parallelism on this machine's cores or GPUs, started by torchrun:

    torchrun --nproc-per-node=2 tools/expert_parallel.py

Each process holds its share of 8 experts and has tokens of its own. It prints how far
its outputs and gradients are from one process that has everything (float64), and what
it sent. With as many GPUs as processes it runs over nccl, else over gloo.
"""

import os
import sys
from datetime import timedelta
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tools")]

import torch  # noqa: E402
import torch.distributed as dist  # noqa: E402
from gpu_moe import expert_parallel_gaps  # noqa: E402

from course_lib.parallel.ranks import Ranks  # noqa: E402


def main() -> int:
    if "WORLD_SIZE" not in os.environ:
        raise SystemExit(__doc__.split("\n\n")[1].strip() + " starts it")
    gpus = torch.cuda.device_count() >= int(os.environ["LOCAL_WORLD_SIZE"])
    os.environ["COURSE_PROFILE"] = "gpu" if gpus else "smoke"
    if gpus:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    torch.set_num_threads(1)
    backend = "nccl" if gpus else "gloo"
    dist.init_process_group(backend, timeout=timedelta(seconds=60))
    try:
        ranks = Ranks()
        found = expert_parallel_gaps(ranks)
        rows = [None] * ranks.count
        dist.all_gather_object(rows, found)
        if ranks.rank == 0:
            for rank, row in enumerate(rows):
                print(
                    f"rank {rank} of {ranks.count} over {backend}: differs by "
                    f"{row['gap']:.1e}; {row['away_rows']} rows away, "
                    f"{row['arrived_rows']} came, {row['sent_bytes']:,} bytes sent"
                )
    finally:
        dist.destroy_process_group()
    return int(found["gap"] > 1e-9)


if __name__ == "__main__":
    sys.exit(main())
