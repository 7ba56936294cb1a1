"""What a reader may enter in a calculator: name, letter, unit, and the values that are
allowed.

The letters are those of the notation page. An input's symbol is what the cost functions
are called with, so the name of an input is the name that the code uses. The table's
order is the order of factors in a formula.
"""

from collections.abc import Mapping
from dataclasses import replace

from course_lib.course.calculators.entry import (
    Input,
    bits_input,
    criterion_input,
    machine_input,
    model_input,
    price_input,
    request_input,
)
from course_lib.course.calculators.expert_inputs import EXPERT_INPUTS, FAR
from course_lib.course.calculators.novel_inputs import NOVEL_INPUTS
from course_lib.course.calculators.state_inputs import STATE_INPUTS

_TABLE = (
    request_input("batch", "B", "Requests at once", 100_000, 1),
    request_input("tokens", "n", "Context", FAR, 32_768, "tokens"),
    request_input("tokens_in", r"n_{\text{in}}", "Prompt", FAR, 4096, "tokens"),
    request_input("tokens_out", r"n_{\text{out}}", "Answer", FAR, 512, "tokens"),
    *EXPERT_INPUTS,
    model_input("layers", "L", "Layers", 1000),
    model_input("vocab", r"|V|", "Words in the vocabulary", FAR),
    model_input("learned_positions", r"n_{\max}", "Learned positions", FAR),
    model_input("width", "d", "Model width", 200_000),
    model_input("heads", "H", "Query heads", 2048),
    model_input("kv_heads", "G", "KV heads", 2048),
    model_input("q_rank", r"r_Q", "Rank of the query latent", 100_000),
    model_input("kv_rank", "r", "Rank of the latent", 100_000),
    model_input("head_dim", "d_k", "Width of a key head", 4096),
    model_input("nope_dim", "d_k", "Width of a key without position", 4096),
    model_input("rope_dim", "d_R", "Width of the rotary key", 4096),
    model_input("value_dim", "d_v", "Width of a value head", 4096),
    model_input("window", "W", "Window (tokens)", FAR, least=2),
    model_input("index_heads", "H_I", "Index heads", 2048),
    model_input("index_dim", "d_I", "Width of an index head", 4096),
    model_input("index_top_k", "K_I", "Keys that the indexer picks", FAR),
    model_input("ffn_width", r"d_{\mathrm{ff}}", "Width inside the FFN", 1_000_000),
    model_input("experts", "E", "Routed experts", 10_000),
    model_input("top_k", "K", "Experts of a token", 10_000),
    model_input("expert_width", r"d_E", "Width inside an expert", 1_000_000),
    model_input("expert_latent", r"d_L", "Width of the experts' latent", 1_000_000),
    model_input("shared_width", r"d_S", "Width of the shared experts", 1_000_000),
    model_input("d_inner", r"d_I", "Channels of the state space", 1_000_000),
    model_input("state", "N", "State of a channel", 100_000),
    model_input("state_keys", "N_k", "Key width of a state's head", 100_000),
    model_input("state_values", "N_v", "Value width of a state's head", 100_000),
    model_input("conv", r"n_{\text{conv}}", "Inputs of the convolution", 1000),
    model_input("step_rank", r"r_\Delta", "Rank of the step size", 100_000),
    model_input("state_heads", r"H_N", "Heads of the recurrent state", 100_000),
    model_input("state_groups", r"G_N", "Groups of those heads", 100_000),
    model_input("decay_rank", r"r_\alpha", "Rank of the decay", 100_000),
    model_input("gate_rank", r"r_g", "Rank of the output gate", 100_000),
    model_input("mix_width", r"d_I", "Channels of time mixing", 1_000_000),
    bits_input(
        "bytes_per_element",
        "b",
        "A cached number",
        "16 in bf16, 8 in int8 or fp8, 8.5 in q8_0; the formula takes bytes",
    ),
    bits_input(
        "bytes_per_weight",
        r"b_W",
        "A weight",
        "16 in bf16, 8 in fp8, 4.25 in MXFP4, 4.5 in NVFP4; the formula takes bytes",
    ),
    *STATE_INPUTS,
    *NOVEL_INPUTS,
    Input(
        name="devices",
        letter="D",
        label="Devices",
        least=1,
        most=100_000,
        default=1,
        group="machine",
    ),
    machine_input("memory_bytes", "M", "Memory of a device", "GB", 1e9, 100_000),
    machine_input(
        "bandwidth", r"\beta", "Bandwidth of a device", "GB/s", 1e9, 1_000_000
    ),
    machine_input("peak_flops", r"\Pi", "Peak of a device", "TFLOP/s", 1e12, 1_000_000),
    Input(
        name="reserve",
        letter=r"\rho",
        label="Share of memory kept back",
        least=0,
        most=0.9,
        whole=False,
        default=0.1,
        group="machine",
        hint="for activations and the allocator",
    ),
    price_input("usd_per_error", r"\lambda_q", "Price of a wrong answer"),
    price_input("usd_per_second", r"\lambda_\ell", "Price of a second"),
    price_input("usd_per_usd", r"\lambda_c", "Price of a dollar of budget"),
    price_input("usd_per_incident", r"\lambda_r", "Price of an incident", 1e15),
    Input(
        name="latency_limit",
        letter=r"T_{\max}",
        label="Limit on latency",
        least=0,
        most=1e6,
        whole=False,
        default=60,
        unit="s",
        group="limits",
        hint="a slower candidate is out at any price",
    ),
    criterion_input("error", r"\mathrm{Err}", "Wrong answers a request", "", 1),
    criterion_input("latency_s", r"T", "Latency", "s", 1e6),
    criterion_input("cost_usd", r"C", "Cost a request", "USD", 1e9),
    criterion_input("risk", r"R", "Incidents a request", "", 1),
)

INPUTS: Mapping[str, Input] = {entry.name: entry for entry in _TABLE}
"""Every input by its name, in the order in which formulas write them."""


def count_of_layers(tag: str, label: str) -> Input:
    """Return the input for the number of layers of one kind, in a model of several
    kinds.
    """
    letters = tag.replace("_", r"\,")
    return replace(
        INPUTS["layers"],
        name=f"layers_{tag}",
        letter=rf"L_{{\mathrm{{{letters}}}}}",
        label=f"Layers: {label}",
        least=0,
    )


def find_input(name: str) -> Input:
    """Return an input by its name; a second one of a kind, or a candidate's, ends in a
    number ("kv_heads_2").

    Raises:
        ValueError: if there is none of that name.
    """
    if name in INPUTS:
        return INPUTS[name]
    base, _, number = name.rpartition("_")
    if base not in INPUTS or not number.isdigit():
        raise ValueError(f"name={name!r}: one of {', '.join(INPUTS)} is allowed")
    first = INPUTS[base]
    if first.group == "candidates":
        label = f"{first.label}, candidate {number}"
        return replace(first, name=name, letter=f"{first.letter}_{number}", label=label)
    return replace(
        first,
        name=name,
        letter=rf"{{{first.letter}}}'",
        label=f"{first.label}, layer kind {number}",
    )
