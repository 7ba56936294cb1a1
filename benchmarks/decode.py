"""How fast is a cached decode step of `CausalLM`, against what a user would pick
instead?

The alternatives hold the same weights and the same cached context, and take turns in
one run:

    generate   `transformers` generate, greedy, given its filled cache
    loop       a bare loop over the `transformers` forward pass and cache
    whole      `course_lib.generate.decode.generate` over `CausalLM`
    ours       the same, after `slice_linears`: matrix-vector products use every thread

The number to read is the ratio: how many times faster a round of ours was than the same
round of theirs, as a median over rounds. In the small model most of a step is Python
and small operators, on every side. In the larger ones it is reading weights. Run it on
an idle machine: where other work takes a core, the threads of an operator wait for each
other, and the figures mean nothing.

The script stops if the alternatives say different tokens, or if a cache does not grow
as the formula says.

    python benchmarks/decode.py --json benchmarks/results/decode.json
"""

import copy
import os
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
from torch import Tensor
from transformers import DynamicCache, LlamaConfig, LlamaForCausalLM

from benchmarks import report
from course_lib.costs.cache import kv_cache_bytes
from course_lib.generate.decode import cached_step, generate
from course_lib.generate.matvec import slice_linears
from course_lib.kit.timing import compare
from course_lib.models.checkpoints.weights import load_hf_weights
from course_lib.models.lm import CausalLM
from course_lib.specs.from_hf import spec_from_hf_config

SHAPE = {
    "num_hidden_layers": 8,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
    "vocab_size": 4096,
}
MODELS = {
    "small": SHAPE | {"hidden_size": 256, "intermediate_size": 704},
    "medium": SHAPE | {"hidden_size": 512, "intermediate_size": 1408},
    "large": SHAPE | {"hidden_size": 1024, "intermediate_size": 2816},
}
CONTEXTS = (512, 2048, 4096)


def build(shape: dict, seed: int = 0) -> tuple[LlamaForCausalLM, CausalLM]:
    """The same random weights twice. A start wider than usual keeps the best token well
    ahead.
    """
    torch.manual_seed(seed)
    config = LlamaConfig(
        **shape, initializer_range=0.04, max_position_embeddings=8192, eos_token_id=None
    )
    theirs = LlamaForCausalLM(config).eval()
    ours = CausalLM(spec_from_hf_config(config.to_dict())).eval()
    load_hf_weights(ours, theirs.state_dict())
    return theirs, ours


def alternatives(
    theirs: LlamaForCausalLM, ours: CausalLM, context: int, new_tokens: int
) -> dict[str, Callable[[], Tensor]]:
    """Each goes on from the same `context` cached tokens and one more; each may be
    called again.
    """
    prompt = torch.randint(theirs.config.vocab_size, (1, context + 1))
    their_cache, our_cache = (
        DynamicCache(config=theirs.config),
        ours.make_cache(1, context + new_tokens),
    )
    theirs(prompt[:, :context], past_key_values=their_cache, logits_to_keep=1)
    ours(prompt[:, :context], cache=our_cache, last_only=True)
    check_bytes(ours, our_cache.nbytes, context + new_tokens)
    check_bytes(ours, held_bytes(their_cache), context)
    options = {"max_new_tokens": new_tokens, "do_sample": False, "pad_token_id": 0}
    options["attention_mask"] = torch.ones_like(
        prompt
    )  # left out, every token 0 would count as padding

    def rewind() -> None:
        if (extra := their_cache.get_seq_length() - context) > 0:
            check_bytes(ours, held_bytes(their_cache), context + extra)
            their_cache.crop(-extra)

    def their_generate() -> Tensor:
        rewind()
        return theirs.generate(prompt, past_key_values=their_cache, **options)[
            :, context + 1 :
        ]

    def their_loop() -> Tensor:
        rewind()
        tokens = [prompt[:, -1:]]
        for _ in range(new_tokens):
            logits = theirs(
                tokens[-1], past_key_values=their_cache, use_cache=True
            ).logits
            tokens.append(logits[:, -1:].argmax(-1))
        return torch.cat(tokens[1:], dim=1)

    def our_generate(model: CausalLM) -> Tensor:
        for layer in our_cache:
            layer.length = context
        step, last = cached_step(model, our_cache), torch.tensor([[context]])
        return generate(step, prompt[:, -1:], max_new_tokens=new_tokens, positions=last)

    sliced = slice_linears(share(ours))
    return {
        "generate": their_generate,
        "loop": their_loop,
        "whole": lambda: our_generate(ours),
        "ours": lambda: our_generate(sliced),
    }


def share(model: CausalLM) -> CausalLM:
    """A second model on the same parameters."""
    return copy.deepcopy(
        model, {id(parameter): parameter for parameter in model.parameters()}
    )


def held_bytes(cache: DynamicCache) -> int:
    """Bytes of the keys and values in a `transformers` cache."""
    return sum(layer.keys.nbytes + layer.values.nbytes for layer in cache.layers)


def check_bytes(model: CausalLM, held: int, tokens: int) -> None:
    """Stop unless a cache of `tokens` tokens has the bytes of the formula."""
    layers, layer = len(model.spec.layers), model.spec.layers[0].mixer
    heads = {"kv_heads": layer.kv_heads, "head_dim": layer.head_dim}
    formula = kv_cache_bytes(
        batch=1, tokens=tokens, layers=layers, bytes_per_element=4, **heads
    )
    if held != formula:
        raise SystemExit(
            f"a cache of {tokens} tokens holds {held} bytes, the formula says {formula}"
        )


@torch.no_grad()
def benchmark(name: str, context: int, *, new_tokens: int, rounds: int) -> dict:
    """One row: milliseconds a token of each alternative, and the ratios of ours."""
    theirs, ours = build(MODELS[name])
    runs = alternatives(theirs, ours, context, new_tokens)
    tokens = [run() for run in runs.values()]
    if not all(torch.equal(tokens[0], other) for other in tokens[1:]):
        raise SystemExit(
            f"{name}, context {context}: the alternatives say different tokens"
        )
    comparison = compare(runs, baseline="generate", repeats=rounds)
    times = {run: timing.times_s for run, timing in comparison.timings.items()}
    against_loop = [
        loop / own for loop, own in zip(times["loop"], times["ours"], strict=True)
    ]
    return {
        "model": name,
        "parameters": sum(parameter.numel() for parameter in ours.parameters()),
        "context": context,
        "cache_bytes_per_token": held_bytes_per_token(ours),
        "ms_per_token": {
            run: round(1e3 * median(t) / new_tokens, 3) for run, t in times.items()
        },
        "ours_against_generate": round(comparison.speedup("ours"), 2),
        "ours_against_loop": round(median(against_loop), 2),
        "whole_against_generate": round(comparison.speedup("whole"), 2),
    }


def held_bytes_per_token(model: CausalLM) -> int:
    """What one more slot adds to our cache, measured."""
    return model.make_cache(1, 2).nbytes - model.make_cache(1, 1).nbytes


def main() -> None:
    parser = report.parser(__doc__, rounds=7)
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument(
        "--contexts", nargs="+", type=int, default=CONTEXTS, metavar="TOKENS"
    )
    parser.add_argument(
        "--new-tokens", type=int, default=24, help="tokens of one timed run"
    )
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    facts = report.machine(given.threads, "cpu", "transformers")
    settings = {
        "new_tokens": given.new_tokens,
        "rounds": given.rounds,
        "dtype": "float32",
        "models": MODELS,
    }
    rows = []
    print(
        "ms a token                 generate   loop  whole   ours    ours against "
        "generate, loop"
    )
    for name in given.models:
        for context in given.contexts:
            row = benchmark(
                name, context, new_tokens=given.new_tokens, rounds=given.rounds
            )
            rows.append(row)
            times = "".join(f"{ms:7.2f}" for ms in row["ms_per_token"].values())
            ratios = (
                f"{row['ours_against_generate']:.2f}x, {row['ours_against_loop']:.2f}x"
            )
            print(f"{name:8} context {context:5}    {times}    {ratios}", flush=True)
            report.write(given.json, facts, settings, rows)


if __name__ == "__main__":
    main()
