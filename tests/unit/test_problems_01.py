"""The worked answers and the cost table of chapter 1, computed again; its pages must print what comes out."""

import math
import re
from dataclasses import replace
from pathlib import Path

import torch

from course_lib.costs.cache import cache_bytes, cache_line
from course_lib.costs.feed_forward.dispatch import ffn_weights
from course_lib.costs.flops import prefill_flops, prefill_flops_split
from course_lib.costs.hardware import load_hardware
from course_lib.costs.mixers.attention import key_value_weights
from course_lib.costs.mixers.dispatch import mixer_weights
from course_lib.costs.params import param_count
from course_lib.costs.roofline import weights_read
from course_lib.costs.shared_kv import shared_kv_cache_bytes, shared_kv_prefill_flops
from course_lib.course.pictures.prompt_and_answer import FORMS
from course_lib.layers.masks import BIDIRECTIONAL, CAUSAL, prefix
from course_lib.models.blank_infilling import blank_out
from course_lib.specs.from_hf import spec_from_hf_config
from course_lib.specs.loader import load_spec
from course_lib.specs.records import AttentionSpec
from course_lib.train.batches import masked_loss
from course_lib.train.denoising import hide_spans
from course_lib.train.objectives import causal_batch, masked_batch

PAGES = sorted((Path(__file__).parents[2] / "book").glob("01_*.md"))
TEXT = "".join(page.read_text(encoding="utf-8") for page in PAGES)
SOLUTIONS = dict(re.findall(r":::\{solution\} (\S+)\n:class: dropdown\n(.*?)\n:::", TEXT, flags=re.S))
EXERCISES = dict(re.findall(r":label: (\S+)\n(.*?)\n:::", TEXT, flags=re.S))
K, MIB, GB, TERA = 1024, 2**20, 1e9, 1e12
QWEN, H100 = load_spec("qwen3.5-35b-a3b"), load_hardware("H100-SXM")
LAYERS, WIDTH, SOURCE, TARGET = 6, 64, 50, 13
GPT2 = {"model_type": "gpt2", "n_embd": WIDTH, "n_head": 4, "n_layer": LAYERS, "vocab_size": 11}
BERT = {"model_type": "bert", "hidden_size": WIDTH, "num_attention_heads": 4, "num_hidden_layers": LAYERS}
T5 = {"model_type": "t5", "d_model": WIDTH, "d_kv": WIDTH // 4, "d_ff": 4 * WIDTH, "num_heads": 4}


def in_maths(number: int) -> str:
    """A whole number as a formula prints it."""
    return f"{number:,}".replace(",", "{,}")


def printed(label: str, *shown: str) -> None:
    """The solution says each of these."""
    assert [part for part in shown if part not in SOLUTIONS[label]] == []


def asked(label: str, *shown: str) -> None:
    """The exercise says each of these."""
    assert [part for part in shown if part not in EXERCISES[label]] == []


def test_every_exercise_has_its_answer_and_a_test_here():
    assert list(EXERCISES) == list(SOLUTIONS) and len(EXERCISES) == 18
    code = Path(__file__).read_text(encoding="utf-8")
    assert [label for label in EXERCISES if f'"{label}"' not in code] == []


def reads(mask_mod, tokens: int) -> int:
    """How many pairs the rule lets read."""
    positions = torch.arange(tokens)[None]
    return int(mask_mod.mask(positions, positions).sum())


def layer_weights(spec) -> int:
    """Weights of all layers of both stacks, without word tables, norms and biases."""
    mixers = [part for layer in spec.layers + spec.encoder for part in (layer.mixer, layer.cross) if part]
    ffns = [layer.ffn for layer in spec.layers + spec.encoder]
    return sum(mixer_weights(m, spec.width) for m in mixers) + sum(ffn_weights(f, spec.width) for f in ffns)


def costs(spec, tokens: int, **source: int) -> tuple[float, float, float, float]:
    """Weights, FLOPs of matrices, pairs and kept numbers, in the units of the page's cost table."""
    flops = prefill_flops_split(replace(spec, head="none"), tokens, **source)
    kept = cache_bytes(spec, batch=1, tokens=tokens, bytes_per_element=1, **source)
    square = LAYERS * WIDTH**2
    return layer_weights(spec) / square, flops.linear / square, flops.attention / (4 * WIDTH), kept / WIDTH


def cost_table() -> str:
    blocks = TEXT.split("(proto-costs-table)=")[1].split("\n\n")
    return next(block for block in blocks if block.startswith("| |"))


def test_the_cost_table():
    s, t, both, n = SOURCE, TARGET, SOURCE + TARGET, LAYERS
    sizes = {"intermediate_size": 4 * WIDTH, "max_position_embeddings": 128, "vocab_size": 11}
    opened = s * s + s * t + t * (t + 1) // 2
    assert costs(spec_from_hf_config(BERT | sizes), s) == (12, 24 * s, n * s * s, 0)
    decoder = spec_from_hf_config(GPT2 | {"n_positions": 128})
    assert costs(decoder, both) == (12, 24 * both, n * both * (both + 1) / 2, 2 * n * both)
    pair = spec_from_hf_config(T5 | {"num_layers": n // 2, "vocab_size": 11})
    assert costs(pair, t, source_tokens=s) == (14, 14 * both, n * opened / 2, n * both)
    assert reads(prefix(s), both) == opened
    table = cost_table()
    cells = ("$12 L d^2$", "$14 L d^2$", "$24 L d^2 s$", "$24 L d^2 (s + t)$", "$14 L d^2 (s + t)$")
    cells += ("$L s^2$", "$L (s + t)(s + t + 1)/2$", r"$L \bigl(s^2 + st + t(t + 1)/2\bigr)$")
    cells += (r"$\tfrac{L}{2} \bigl(s^2 + st + t(t + 1)/2\bigr)$", r"$2 L d\,(s + t)$", r"$L d\,(s + t)$")
    for cell in cells:
        assert f"| {cell} |" in table


def test_the_cost_table_is_what_its_picture_draws():
    s, t, n, square = SOURCE, TARGET, LAYERS, WIDTH**2
    drawn = {name: [times * n + more for times, more in filter(None, terms)] for name, terms in FORMS.items()}
    sizes = {"intermediate_size": 4 * WIDTH, "max_position_embeddings": 128, "vocab_size": 11}
    halves = {"num_layers": n // 2, "vocab_size": 11}
    bert = costs(spec_from_hf_config(BERT | sizes), s)
    assert drawn["Encoder"] == [bert[0] * n, bert[1] * n / (2 * s), bert[3]]
    for name, spec, source in (
        ("Decoder, PrefixLM", spec_from_hf_config(GPT2 | {"n_positions": 128}), {}),
        (
            "Encoder-decoder",
            spec_from_hf_config(T5 | halves),
            {"source_tokens": s},
        ),
    ):
        weights, linear, _, kept = costs(spec, t if source else s + t, **source)
        whole, prompt, answer, cached = drawn[name]
        assert (whole, prompt * s + answer * t, cached * (s + t)) == (weights * n, linear * n / 2, kept)
    spec = replace(spec_from_hf_config(GPT2 | {"n_positions": 128}), head="none")
    whole, prompt, answer, cached = drawn["Causal encoder-decoder"]
    every = shared_kv_prefill_flops(spec, s, skip_upper=False).linear
    last = shared_kv_prefill_flops(spec, 1).linear
    stopped = shared_kv_prefill_flops(spec, s + 1).linear
    assert every == 2 * s * answer * square == 2 * s * whole * square
    assert stopped == last + 2 * s * prompt * square
    writes = replace(spec, head="lm")
    assert shared_kv_cache_bytes(writes, batch=1, tokens=s, bytes_per_element=1) == cached * WIDTH * s


def test_the_cost_table_from_half_the_depth():
    s, t, n, square = SOURCE, TARGET, LAYERS, WIDTH**2
    spec = replace(spec_from_hf_config(GPT2 | {"n_positions": 128}), head="none")
    layer = spec.layers[0]
    kv = key_value_weights(layer.mixer, WIDTH)
    upper = n // 2 * (mixer_weights(layer.mixer, WIDTH) + ffn_weights(layer.ffn, WIDTH) - kv)
    weights = layer_weights(spec) // 2 + kv + upper
    assert weights == (11 * n + 2) * square
    prompt, last = shared_kv_prefill_flops(spec, s), 2 * upper  # but one token, none passes the upper half
    assert prompt.linear - last == (12 * n + 4) * square * s
    assert 2 * weights * t == (22 * n + 4) * square * t
    lower, whole = n // 2 * reads(CAUSAL, s + t), shared_kv_prefill_flops(spec, s + t, skip_upper=False)
    prompt_above = n // 2 * reads(CAUSAL, s)
    assert whole.attention / (4 * WIDTH) - prompt_above == lower + n // 2 * (s * t + reads(CAUSAL, t))
    kept = shared_kv_cache_bytes(replace(spec, head="lm"), batch=1, tokens=s + t, bytes_per_element=1)
    assert kept == 2 * (n // 2 + 1) * WIDTH * (s + t)
    table = cost_table()
    assert r"| $11 L d^2 + 2 d^2$ | $\bigl(12 L + 4\bigr) d^2 s + (22 L + 4) d^2 t$ |" in table
    assert r"| $2 (\tfrac{L}{2} + 1) d\,(s + t)$ |" in table


def test_an_agents_step():
    answer = SOLUTIONS["proto-problem-10"]
    spec, prompt, written, tera = load_spec("qwen2.5-7b"), 20_000, 200, 1e12
    layer, count = spec.layers[0], len(spec.layers)
    kv = key_value_weights(layer.mixer, spec.width)
    one = mixer_weights(layer.mixer, spec.width) + ffn_weights(layer.ffn, spec.width)
    full = 2 * one * count * (prompt + written) / tera
    stopped, passing = one * count // 2 + kv, one * count - (count // 2 - 1) * kv
    parts = 2 * stopped * prompt / tera, 2 * passing * written / tera
    assert f"{one / 1e6:.1f} million, or {one * count / 1e9:.2f} billion in 28 layers" in answer
    assert f"{full:.1f} TFLOPs. With" in answer and f"{stopped / 1e9:.2f} billion weights" in answer
    assert f"weights: {parts[0]:.1f} TFLOPs for the prompt" in answer
    assert f"passes {passing / 1e9:.2f} billion" in answer and f"{parts[1]:.1f} TFLOPs for 200" in answer
    assert f"Together {sum(parts):.1f}, or {sum(parts) / full:.2f} times" in answer
    held = cache_bytes(spec, batch=1, tokens=1), shared_kv_cache_bytes(spec, batch=1, tokens=1)
    assert f"{held[0]:,} for 28 layers, {held[1]:,} for 15" in answer
    exact = shared_kv_prefill_flops(replace(spec, head="none"), prompt).linear / tera
    assert abs(exact - parts[0]) < 0.01


def test_who_may_attend_to_whom_counted():
    answer = SOLUTIONS["proto-problem-1"]
    assert [reads(mask_mod, 12) for mask_mod in (BIDIRECTIONAL, CAUSAL, prefix(5))] == [144, 78, 88]
    apart = reads(BIDIRECTIONAL, 5) + 7 * 5 + reads(CAUSAL, 7)
    assert apart == 88
    assert "= 10$, opens as well, so 88" in answer and "Together 88" in answer


def test_targets_for_the_money():
    answer = SOLUTIONS["proto-problem-2"]
    draw, row = torch.Generator().manual_seed(0), 97 + torch.arange(512) % 26
    causal = causal_batch(row[None])
    assert int(causal.mask.sum()) == causal.inputs.shape[1] == 511
    assert int(masked_batch(row[None], 368, draw).mask.sum()) == 77
    source, target = hide_spans(row, draw)
    assert (len(source), len(target), len(source) + len(target)) == (461, 104, 565)
    assert "= 461$ tokens and the target $77 + 26 + 1 = 104$; 565 tokens" in answer


def test_one_row_three_losses():
    answer = SOLUTIONS["proto-problem-3"]
    chances = torch.tensor([1 / 2, 1 / 8, 1 / 4, 1 / 2], dtype=torch.float64)
    logits = torch.stack([chances, 1 - chances], dim=-1).log()[None]
    targets = torch.zeros(1, 4, dtype=torch.long)
    mean = masked_loss(logits, targets, torch.ones(1, 4, dtype=torch.bool)).item()
    written = masked_loss(logits, targets, torch.tensor([[False, False, True, True]])).item()
    shown = f"= {4 * mean:.3f}$ nats, mean {mean:.3f}, perplexity $e^{{{mean:.3f}}} = {math.exp(mean):.3f}$"
    assert shown in answer
    assert f"/ 2 = {written:.3f}$" in answer


def test_two_masked_words():
    answer = SOLUTIONS["proto-problem-4"]
    joint = torch.tensor([[0.5, 0.0], [0.0, 0.5]], dtype=torch.float64)  # New or Los, York or Angeles
    alone = joint.sum(1)[:, None] * joint.sum(0)
    masked = -(joint * alone.log()).sum().item()
    in_order = -(joint[joint > 0] * joint[joint > 0].log()).sum().item()
    assert f"= {masked:.3f}$ nats" in answer and f"= {in_order:.3f}$." in answer
    assert alone[joint == 0].sum().item() == 0.5


def test_what_the_source_costs_to_keep():
    answer = SOLUTIONS["proto-problem-5"]
    t5 = load_spec("t5-base")
    kept = cache_bytes(t5, batch=1, tokens=100, source_tokens=1000)
    own = cache_bytes(t5, batch=1, tokens=200, source_tokens=1000) - kept
    decoder = cache_bytes(load_spec("gpt2"), batch=1, tokens=1100) * 2  # 12 layers of the same width
    assert decoder == 2 * kept
    assert in_maths(own) in answer and in_maths(kept - own) in answer
    assert f"{kept:,}" in answer and in_maths(decoder) in answer


def test_ten_turns():
    answer = SOLUTIONS["proto-problem-6"]
    causal = sum(300 for _ in range(10))
    again = sum(300 * turn for turn in range(10))
    assert f"{causal:,}. Prefix" in answer
    assert f"= {in_maths(again)}$ more, {causal + again:,}" in answer
    assert f"here {(causal + again) / causal}" in answer and (causal + again) / causal == (10 + 1) / 2


def test_retrieve_then_rerank():
    answer = SOLUTIONS["proto-problem-7"]
    bert = load_spec("bert-base")
    assert bert.width == 768
    search = 10**6 * bert.width * 2
    pair = prefill_flops(bert, 256)
    assert in_maths(search) in answer
    assert f"takes {pair / 1e9:.1f} GFLOPs, a hundred {round(100 * pair / 1e9):,}" in answer
    assert f"{int(100 * pair / search):,} times the search" in answer


def test_tie_or_not():
    answer = SOLUTIONS["proto-problem-8"]
    config = {"model_type": "llama", "num_hidden_layers": 2, "hidden_size": 2048, "vocab_size": 256_000}
    config |= {"num_attention_heads": 16, "intermediate_size": 4096}
    tied, apart = (spec_from_hf_config(config | {"tie_word_embeddings": tie}) for tie in (True, False))
    table = param_count(apart).total - param_count(tied).total
    assert in_maths(table) in answer
    assert (
        f"= {2 + 2 * table / 1e9:.2f}$ billion that is {table / (2e9 + 2 * table):.1%}".replace("%", " %")
        in answer
    )
    wide = 4 * table
    shown = f"{wide / 1e9:.2f} billion of {70 + 2 * wide / 1e9:.2f}, or {wide / (70e9 + 2 * wide):.1%}"
    assert shown.replace("%", " %") in answer


def test_lay_out_the_blanks():
    answer = SOLUTIONS["proto-problem-9"]
    letters = "abcdefgh"
    marks = {101: "[M]", 102: "[S]", 103: "[E]"} | dict(enumerate(letters))
    spans = [(2, 4), (6, 7)]
    blanks = blank_out(torch.arange(8), spans, mask_id=101, start_id=102, end_id=103, order=[1, 0])
    shown = [
        " ".join(marks[token] for token in row)
        for row in (blanks.tokens.tolist(), blanks.targets[blanks.predicted].tolist())
    ]
    places, within = (" ".join(map(str, row.tolist())) for row in (blanks.places, blanks.within))
    assert f"Input: {shown[0]}. Place: {places}. Within: {within}." in answer
    assert f"Targets of the last five: {shown[1]}." in answer
    assert blanks.prefix_length == 7 and "Part A has seven tokens" in answer


def test_what_the_mask_saves():
    tokens, mixer = 4 * K, QWEN.layers[3].mixer
    layers = sum(isinstance(layer.mixer, AttentionSpec) for layer in QWEN.layers)
    heads = layers * mixer.heads
    pairs = reads(CAUSAL, 64) * (tokens * (tokens + 1)) // (64 * 65)
    flops = prefill_flops_split(QWEN, tokens)
    assert flops.attention == pairs * heads * 4 * mixer.head_dim
    more = (tokens**2 - pairs) * heads * 4 * mixer.head_dim
    asked("proto-try-hybrid-scores", f"{flops.linear / TERA:.1f} TFLOP", f"$4 \\cdot {mixer.head_dim}$")
    printed(
        "proto-try-hybrid-scores",
        f"= {in_maths(pairs)}$ pairs, times {heads}",
        f"{pairs * heads / GB:.2f} billion scores, against {tokens**2 * heads / GB:.2f} billion",
        f"{more / TERA:.2f} TFLOP, {100 * more / flops.linear:.1f} %",
    )


def test_ten_million_documents_a_day():
    judge, bert = (prefill_flops(spec, 256) for spec in (QWEN, load_spec("bert-base")))
    asked("proto-try-hybrid-stream", f"{judge / TERA:.2f} TFLOP", f"{bert / GB:.1f} GFLOP")
    hours = [1e7 * flops / H100.peak_flops / 3600 for flops in (judge, bert)]
    read = 2 * weights_read(QWEN, batch=1)
    step = read / H100.bandwidth_bytes_per_s
    asked("proto-try-hybrid-stream", f"{read / GB:.2f} GB")
    printed(
        "proto-try-hybrid-stream",
        f"= {hours[0]:.1f}$ hours against ${hours[1]:.2f}$: {hours[0] / hours[1]:.0f} times",
        f"takes {1e3 * step:.2f} ms, 31 of them {31e3 * step:.1f} ms",
        f"{31e7 * step / 3600:.0f} hours",
    )


def per_token() -> float:
    """FLOPs of the hybrid's matrices for one more token of prompt."""
    return (prefill_flops_split(QWEN, 2 * K).linear - prefill_flops_split(QWEN, K).linear) / K


def test_ten_turns_in_time():
    asked("proto-try-hybrid-chat", f"{per_token() / GB:.2f} GFLOPs")
    flops = [tokens * 4.99 * GB for tokens in (2000, 20_000)]  # the exercise's figure
    times = [1e3 * f / (0.4 * H100.peak_flops) for f in flops]
    printed(
        "proto-try-hybrid-chat",
        f"= {flops[0] / TERA:.2f}$ TFLOP, {times[0]:.0f} ms",
        f"{flops[1] / TERA:.1f} TFLOP and {times[1]:.0f} ms",
    )


def test_twenty_examples_before_every_request():
    line, tokens = cache_line(QWEN), 20 * 150
    asked("proto-try-hybrid-shots", f"{line.bytes_per_token // K} KiB", f"{line.fixed_bytes / MIB} MiB")
    flops = prefill_flops_split(QWEN, tokens)
    saved = (flops.linear + flops.attention) / (0.4 * H100.peak_flops)
    asked("proto-try-hybrid-shots", f"{(flops.linear + flops.attention) / TERA:.1f} TFLOP")
    printed(
        "proto-try-hybrid-shots",
        f"= {tokens * line.bytes_per_token / MIB:.1f}$ MiB, with the states {line.at(tokens) / MIB:.1f} MiB",
        f"= {1e3 * saved:.1f}$ ms, a million of them {1e6 * saved / 3600:.1f} hours",
    )


def test_a_draft_of_four():
    tokens = sum(0.8**i for i in range(5))
    faster = tokens / (1 + 4 / 20)
    printed("proto-try-draft", f"= {tokens:.2f}$ tokens", f"cost {1 + 4 / 20} passes: {faster:.1f} times")


def test_the_mask_of_a_grammar():
    bits, numbers = QWEN.vocab / 8, 4 * QWEN.vocab
    asked("proto-try-hybrid-grammar", f"{QWEN.vocab:,} entries")
    shown = (f"= {in_maths(int(bits))}$ bytes", f"{bits / 1e3:.0f} MB as bits", f"{numbers / 1e3:.0f} MB")
    printed("proto-try-hybrid-grammar", *shown)


def test_may_the_prompt_leave_early():
    passed = {}
    for layer in QWEN.layers:
        experts = ffn_weights(replace(layer.ffn, experts=layer.ffn.top_k), QWEN.width)
        router = (layer.ffn.experts - layer.ffn.top_k) * QWEN.width
        passed[type(layer.mixer)] = mixer_weights(layer.mixer, QWEN.width) + experts + router
    count = [sum(isinstance(layer.mixer, kind) for layer in QWEN.layers) for kind in passed]
    state, attends = (f"{weights / 1e6:.1f} million" for weights in passed.values())
    asked("proto-try-hybrid-half", f"{state} weights in a state layer", f"{attends} in one that attends")
    weights = 30 * 62.6 + 10 * 56.1  # the exercise's figures
    assert count == [30, 10]
    upper = [isinstance(layer.mixer, AttentionSpec) for layer in QWEN.layers[20:]]
    assert (upper.count(False), upper.count(True)) == (15, 5)
    tera = 2 * weights * 1e6 * 20_000 / TERA
    shown = (f"= {in_maths(int(weights))}$ million", f"{tera:.1f} TFLOP; in 20 layers half, {tera / 2:.1f}")
    printed("proto-try-hybrid-half", *shown, "15 write every token", "5 make keys")


def test_what_a_large_vocabulary_costs():
    count, step = param_count(QWEN), weights_read(QWEN, batch=1)
    table = count.by_part["head"]
    asked(
        "proto-try-hybrid-embed",
        f"{QWEN.vocab:,}",
        f"{count.total / GB:.2f} billion",
        f"{step / GB:.2f} billion",
    )
    printed(
        "proto-try-hybrid-embed",
        f"= {in_maths(table)}$ weights",
        f"{200 * table / count.total:.1f} % of the parameters",
        f"{100 * table / step:.0f} % of the step",
        f"{100 * table / count.total:.1f} %, and nothing",
    )


def test_what_the_text_says_of_the_hybrid():
    assert QWEN.context == 262_144 and "the 262,144 of the longest context" in TEXT
