"""How many functions, in how many files, does one layer of a Llama walk through?

    python tools/count_hops.py

Counted with `sys.setprofile`: the distinct functions of course_lib that run in one call
of a `Block` on three tokens. The first layer of a forward pass also makes what the
layers share (rotary tables and mask); a later layer finds it made. With a cache, the
call is a decode step of one token after them.

    later     a layer that is not the first of its kind
    first     the first, which makes tables and mask
"""

import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch

from course_lib.layers.per_forward import PerForward
from course_lib.models.lm import CausalLM
from course_lib.specs.from_hf import spec_from_hf_config

LLAMA = {
    "model_type": "llama",
    "hidden_size": 8,
    "intermediate_size": 12,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "vocab_size": 7,
}
LIBRARY = str(Path(__file__).resolve().parents[1] / "course_lib")
Hops = list[tuple[str, str]]


def walk(run: Callable[[], object]) -> Hops:
    """The functions of course_lib that `run` calls, each once, in the order of their
    first call, as (file, name).
    """
    found: Hops = []

    def note(frame, event, _) -> None:
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(LIBRARY):
            file = str(Path(code.co_filename).relative_to(LIBRARY))
            hop = file, getattr(code, "co_qualname", code.co_name)
            if hop not in found:
                found.append(hop)

    sys.setprofile(note)
    try:
        run()
    finally:
        sys.setprofile(None)
    return found


@torch.no_grad()
def hops() -> dict[str, Hops]:
    """The walk of each of four calls."""
    model = CausalLM(spec_from_hf_config(LLAMA)).eval()
    first, later = model.blocks
    x, positions, walks = torch.randn(1, 3, 8), torch.tensor([[0, 1, 2]]), {}
    shared = PerForward()
    walks["first"] = walk(lambda: first(x, positions, None, shared))
    walks["later"] = walk(lambda: later(x, positions, None, shared))
    cache, shared = model.make_cache(1, 4), PerForward()
    for block, kept in zip(model.blocks, cache, strict=True):
        block(x, positions, kept)
    x, positions = x[:, -1:], positions[:, -1:] + 1
    own, next_own = cache
    walks["first, cached"] = walk(lambda: first(x, positions, own, shared))
    walks["later, cached"] = walk(lambda: later(x, positions, next_own, shared))
    return walks


def main() -> None:
    walks = hops()
    print(f"{'layer':16}{'functions':>10}{'files':>7}")
    for name, found in walks.items():
        print(f"{name:16}{len(found):10}{len({file for file, _ in found}):7}")
    for name, found in walks.items():
        print(f"\n{name}")
        for file, function in found:
            print(f"    {file:34}{function}")


if __name__ == "__main__":
    main()
