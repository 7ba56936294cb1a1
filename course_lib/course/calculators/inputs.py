"""What a reader may enter in a calculator: name, letter, unit, and the values that are
allowed.

The letters are those of the notation page. An input's symbol is what the cost functions
are called with, so the name of an input is the name that the code uses. The table's
order is the order of factors in a formula.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from numbers import Real

import sympy

FAR = 10_000_000


@dataclass(frozen=True, kw_only=True)
class Input:
    """One number that a reader enters.

    `letter` in LaTeX; `label` and `unit` as the page shows them; `least` and `most`
    allowed, in that unit; `whole` whether only whole numbers are; `factor` what one
    unit is in the formula (10^9 for a GB); `default` where nothing else sets it;
    `group` under which heading it stands; `hint` on what to enter.
    """

    name: str
    letter: str
    label: str
    least: float
    most: float
    unit: str = ""
    whole: bool = True
    factor: float = 1
    default: float | None = None
    group: str = "model"
    hint: str = ""

    @cached_property
    def symbol(self) -> sympy.Symbol:
        """The symbol that stands for it in a formula."""
        return sympy.Symbol(
            self.name, positive=True, integer=True if self.whole else None
        )

    def allowed(self) -> str:
        """Say what is allowed, in words.

        >>> INPUTS["batch"].allowed()
        'a whole number from 1 to 100,000'
        """
        kind = "a whole number" if self.whole else "a number"
        unit = f" {self.unit}" if self.unit else ""
        least, most = (
            int(end) if end == int(end) else end for end in (self.least, self.most)
        )
        return f"{kind} from {least:,} to {most:,}{unit}"

    def check(self, value: Real) -> None:
        """Refuse a value that is not allowed.

        Raises:
            ValueError: naming the input, the value and what is allowed.
        """
        number = (
            isinstance(value, Real)
            and not isinstance(value, bool)
            and self.least <= value <= self.most
        )
        if not number or (self.whole and value != int(value)):
            raise ValueError(f"{self.name}={value!r}: {self.allowed()} is allowed")


def _model(name: str, letter: str, label: str, most: int, *, least: int = 1) -> Input:
    return Input(name=name, letter=letter, label=label, least=least, most=most)


def _request(
    name: str, letter: str, label: str, most: int, default: int, unit: str = ""
) -> Input:
    return Input(
        name=name,
        letter=letter,
        label=label,
        least=1,
        most=most,
        default=default,
        unit=unit,
        group="request",
    )


def _bits(name: str, letter: str, label: str, hint: str) -> Input:
    return Input(
        name=name,
        letter=letter,
        label=label,
        least=0.5,
        most=128,
        whole=False,
        default=16,
        unit="bits",
        factor=1 / 8,
        group="numbers",
        hint=hint,
    )


def _billions(name: str, letter: str, label: str) -> Input:
    return Input(
        name=name,
        letter=letter,
        label=label,
        least=0.01,
        most=100_000,
        whole=False,
        unit="B",
        factor=1e9,
    )


def _price(name: str, letter: str, label: str, most: float = 1e9) -> Input:
    return Input(
        name=name,
        letter=letter,
        label=label,
        least=0,
        most=most,
        unit="USD",
        whole=False,
        group="prices",
    )


def _criterion(name: str, letter: str, label: str, unit: str, most: float) -> Input:
    return Input(
        name=name,
        letter=letter,
        label=label,
        least=0,
        most=most,
        unit=unit,
        whole=False,
        group="candidates",
    )


def _machine(
    name: str, letter: str, label: str, unit: str, factor: float, most: float
) -> Input:
    return Input(
        name=name,
        letter=letter,
        label=label,
        least=0.1,
        most=most,
        whole=False,
        unit=unit,
        factor=factor,
        group="machine",
    )


_TABLE = (
    _request("batch", "B", "Requests at once", 100_000, 1),
    _request("tokens", "n", "Context", FAR, 32_768, "tokens"),
    _request("tokens_in", r"n_{\text{in}}", "Prompt", FAR, 4096, "tokens"),
    _request("tokens_out", r"n_{\text{out}}", "Answer", FAR, 512, "tokens"),
    _request("batch_tokens", "n", "Tokens of a batch", FAR, 4096, "tokens"),
    _model("layers", "L", "Layers", 1000),
    _model("vocab", r"|V|", "Words in the vocabulary", FAR),
    _model("learned_positions", r"n_{\max}", "Learned positions", FAR),
    _model("width", "d", "Model width", 200_000),
    _model("heads", "H", "Query heads", 2048),
    _model("kv_heads", "G", "KV heads", 2048),
    _model("q_rank", r"r_Q", "Rank of the query latent", 100_000),
    _model("kv_rank", "r", "Rank of the latent", 100_000),
    _model("head_dim", "d_k", "Width of a key head", 4096),
    _model("nope_dim", "d_k", "Width of a key without position", 4096),
    _model("rope_dim", "d_R", "Width of the rotary key", 4096),
    _model("value_dim", "d_v", "Width of a value head", 4096),
    _model("window", "W", "Window (tokens)", FAR, least=2),
    _model("index_heads", "H_I", "Index heads", 2048),
    _model("index_dim", "d_I", "Width of an index head", 4096),
    _model("index_top_k", "K_I", "Keys that the indexer picks", FAR),
    _model("ffn_width", r"d_{\mathrm{ff}}", "Width inside the FFN", 1_000_000),
    _model("experts", "E", "Routed experts", 10_000),
    _model("top_k", "K", "Experts of a token", 10_000),
    Input(
        name="capacity_factor",
        letter="c",
        label="Capacity factor",
        least=0.1,
        most=100,
        default=1.25,
        whole=False,
        hint="1 is what even routing would just fill",
    ),
    Input(
        name="skew",
        letter="s",
        label="Skew of the popularity",
        least=0,
        most=4,
        default=0.4,
        whole=False,
        hint="Zipf's exponent; 0 is even",
    ),
    Input(
        name="target",
        letter="t",
        label="Largest load over the mean",
        least=0.1,
        most=1000,
        default=1.5,
        whole=False,
        group="limits",
        hint="what a copy of an expert may get",
    ),
    _billions("total_params", r"P_{\text{total}}", "Parameters of the mixture"),
    _billions("active_params", r"P_{\text{active}}", "Active for a token"),
    _billions("dense_params", r"P_{\text{dense}}", "Dense model of equal quality"),
    _model("expert_width", r"d_E", "Width inside an expert", 1_000_000),
    _model("expert_latent", r"d_L", "Width of the experts' latent", 1_000_000),
    _model("shared_width", r"d_S", "Width of the shared experts", 1_000_000),
    _model("d_inner", r"d_I", "Channels of the state space", 1_000_000),
    _model("state", "N", "State of a channel", 100_000),
    _model("state_keys", "N_k", "Key width of a state's head", 100_000),
    _model("state_values", "N_v", "Value width of a state's head", 100_000),
    _model("conv", r"n_{\text{conv}}", "Inputs of the convolution", 1000),
    _model("step_rank", r"r_\Delta", "Rank of the step size", 100_000),
    _model("state_heads", r"H_N", "Heads of the recurrent state", 100_000),
    _model("state_groups", r"G_N", "Groups of those heads", 100_000),
    _model("decay_rank", r"r_\alpha", "Rank of the decay", 100_000),
    _model("gate_rank", r"r_g", "Rank of the output gate", 100_000),
    _model("mix_width", r"d_I", "Channels of time mixing", 1_000_000),
    _bits(
        "bytes_per_element",
        "b",
        "A cached number",
        "16 in bf16, 8 in int8 or fp8, 8.5 in q8_0; the formula takes bytes",
    ),
    _bits(
        "bytes_per_weight",
        r"b_W",
        "A weight",
        "16 in bf16, 8 in fp8, 4.25 in MXFP4, 4.5 in NVFP4; the formula takes bytes",
    ),
    _bits("dispatch_bytes", "b_1", "A number on its way out", "8 in fp8, 16 in bf16"),
    _bits("combine_bytes", "b_2", "A number on its way back", "16 in bf16"),
    Input(
        name="nodes",
        letter="N",
        label="Nodes",
        least=1,
        most=10_000,
        default=1,
        group="machine",
    ),
    Input(
        name="per_node",
        letter="g",
        label="Devices of a node",
        least=1,
        most=1024,
        default=8,
        group="machine",
    ),
    Input(
        name="top_nodes",
        letter="M",
        label="Nodes of a token at most",
        least=1,
        most=10_000,
        default=1,
        group="model",
        hint="the number of nodes, where the router is not limited",
    ),
    _machine("link", r"\beta_N", "Link between nodes", "GB/s", 1e9, 1_000_000),
    _machine("inner_link", r"\beta_D", "Link inside a node", "GB/s", 1e9, 1_000_000),
    Input(
        name="hop",
        letter=r"\alpha",
        label="Latency of a message",
        least=0,
        most=1e6,
        default=5,
        unit="µs",
        whole=False,
        factor=1e-6,
        group="machine",
    ),
    Input(
        name="devices",
        letter="D",
        label="Devices",
        least=1,
        most=100_000,
        default=1,
        group="machine",
    ),
    _machine("memory_bytes", "M", "Memory of a device", "GB", 1e9, 100_000),
    _machine("bandwidth", r"\beta", "Bandwidth of a device", "GB/s", 1e9, 1_000_000),
    _machine("peak_flops", r"\Pi", "Peak of a device", "TFLOP/s", 1e12, 1_000_000),
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
    Input(
        name="utilisation",
        letter="u",
        label="Share of the peak that is reached",
        least=0.001,
        most=1,
        default=0.4,
        whole=False,
        group="machine",
    ),
    Input(
        name="tokens_per_second",
        letter="R",
        label="Tokens a second of one copy",
        least=0.001,
        most=1e9,
        default=10_000,
        whole=False,
        group="request",
    ),
    _price("usd_per_hour", "H", "A device for an hour", 1e6),
    _price("usd_per_error", r"\lambda_q", "Price of a wrong answer"),
    _price("usd_per_second", r"\lambda_\ell", "Price of a second"),
    _price("usd_per_usd", r"\lambda_c", "Price of a dollar of budget"),
    _price("usd_per_incident", r"\lambda_r", "Price of an incident", 1e15),
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
    _criterion("error", r"\mathrm{Err}", "Wrong answers a request", "", 1),
    _criterion("latency_s", r"T", "Latency", "s", 1e6),
    _criterion("cost_usd", r"C", "Cost a request", "USD", 1e9),
    _criterion("risk", r"R", "Incidents a request", "", 1),
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
