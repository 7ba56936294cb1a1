"""Calculators of what experts cost: the all-to-all between devices, and the price of
memory at which a mixture ties with a dense model.
"""

import math
from collections.abc import Mapping

import sympy

from course_lib.costs.collectives import Link
from course_lib.costs.expert_exchange import Exchange, copies_sent, exchange
from course_lib.costs.experts import memory_price, usd_per_flop
from course_lib.course.calculators.definition import (
    Calculator,
    Crossing,
    Finding,
    Line,
    Plot,
    Series,
    Symbols,
)

SIZES = ("top_k", "nodes", "per_node", "top_nodes", "dispatch_bytes", "combine_bytes")
GB_HOUR = 10**9
"""The page's price is that of a GB for an hour."""


def exchanged(v: Mapping) -> Exchange:
    """What a device sends, as symbols or numbers."""
    return exchange(v["batch_tokens"], v["width"], **{name: v[name] for name in SIZES})


def exchange_lines(model: None, s: Symbols) -> tuple[Line, ...]:
    """Copies of a token, bytes and seconds on either link, and the longer of the two
    times.
    """
    copies = copies_sent(
        s["top_k"],
        nodes=s["nodes"],
        per_node=s["per_node"],
        top_nodes=s["top_nodes"],
    )
    sent = exchanged(s)
    lines = [
        Line(
            name="copies",
            letter=r"c_N",
            value=sympy.sympify(copies[0]),
            unit="number",
            label="Copies of a token to other nodes",
        )
    ]
    parts = (
        ("between", "N", "link", sent.between, "to other nodes"),
        ("within", "D", "inner_link", sent.within, "inside its node"),
    )
    for name, mark, link, traffic, words in parts:
        size = Line(
            name=name,
            letter=rf"\text{{bytes}}_{mark}",
            value=sympy.sympify(traffic.sent_bytes),
            unit="bytes",
            label=f"A device sends {words}",
        )
        time = Line(
            name=f"{name}_s",
            letter=f"T_{mark}",
            value=traffic.hops * s["hop"] + size.symbol / s[link],
            unit="seconds",
            label=f"Time {words}",
        )
        lines += [size, time]
    times = [line.symbol for line in lines if line.unit == "seconds"]
    longer = Line(
        name="time",
        letter="T",
        value=sympy.Max(*times),
        unit="seconds",
        label="Dispatch and combine of a layer",
    )
    hops = Line(
        name="twice_hops",
        letter="",
        value=2 * sent.within.hops * s["hop"],
        unit="seconds",
        printed=False,
    )
    return *lines, longer, hops


def exchange_seconds(spec: None, v: Mapping[str, float]) -> float:
    """The longer of the two times, by `Exchange.seconds`."""
    between, within = Link(v["link"], v["hop"]), Link(v["inner_link"], v["hop"])
    return exchanged(v).seconds(between, within)


EXPERT_ALL_TO_ALL = Calculator(
    name="expert-all-to-all",
    title="Dispatch and combine of a layer",
    question="How much does a device send for its tokens' experts, and how long?",
    inputs=(
        "batch_tokens",
        "width",
        "top_k",
        "top_nodes",
        "nodes",
        "per_node",
        "link",
        "inner_link",
        "hop",
        "dispatch_bytes",
        "combine_bytes",
    ),
    defaults={
        "batch_tokens": 32_768,
        "width": 7168,
        "top_k": 8,
        "top_nodes": 4,
        "nodes": 8,
        "per_node": 8,
        "link": 50,
        "inner_link": 160,
        "dispatch_bytes": 8,
    },
    lines=exchange_lines,
    by_function=exchange_seconds,
    answer="time",
    plot=Plot(
        x="batch_tokens",
        low=64,
        high=1_048_576,
        series=(
            Series("between_s", "between nodes"),
            Series("within_s", "inside a node"),
        ),
        caption="Time of dispatch and combine against the tokens of the batch",
        crossing=Crossing(
            a="time",
            b="twice_hops",
            label="bytes outweigh hops",
            found="From {x} tokens on, the bytes take longer than the hops.",
            never="Up to {high} tokens the hops take longer than the bytes.",
            always="The bytes take longer than the hops at every batch shown.",
        ),
    ),
    findings=(
        Finding(
            text="A device sends {between} to other nodes and {within} inside its own: "
            "at least {time} a layer. The links between nodes decide.",
            a="between_s",
            b="within_s",
        ),
        Finding(
            text="A device sends {between} to other nodes and {within} inside its own: "
            "at least {time} a layer. The links inside a node decide."
        ),
    ),
    worked=(
        {},
        {"top_nodes": 8},
        {"batch_tokens": 4096},
        {"nodes": 1, "top_nodes": 1},
        {"dispatch_bytes": 16},
    ),
)


def price_lines(model: None, s: Symbols) -> tuple[Line, ...]:
    """The device's price by its memory, and the price of memory at which the mixture
    and the dense model cost the same.
    """
    flop = usd_per_flop(s["usd_per_hour"], s["peak_flops"], s["utilisation"])
    price = memory_price(
        total=s["total_params"],
        active=s["active_params"],
        dense=s["dense_params"],
        tokens_per_hour=3600 * s["tokens_per_second"],
        flop_usd=flop,
        bytes_per_weight=s["bytes_per_weight"],
    )
    whole = Line(
        name="device_gb",
        letter="H / M",
        value=GB_HOUR * s["usd_per_hour"] / s["memory_bytes"],
        unit="USD",
        label="The device's own price of a GB-hour, if memory were all of it",
        printed=False,
    )
    tie = Line(
        name="price",
        letter=r"m^{*}",
        value=GB_HOUR * price,
        unit="USD",
        label="A GB-hour at which both cost the same",
        may_be_none=True,
    )
    return whole, tie


def tie_price(spec: None, v: Mapping[str, float]) -> float:
    """The price of a GB-hour, by `memory_price`; infinite where the mixture holds no
    more.
    """
    flop = usd_per_flop(v["usd_per_hour"], v["peak_flops"], v["utilisation"])
    price = memory_price(
        total=v["total_params"],
        active=v["active_params"],
        dense=v["dense_params"],
        tokens_per_hour=3600 * v["tokens_per_second"],
        flop_usd=flop,
        bytes_per_weight=v["bytes_per_weight"],
    )
    return price if math.isinf(price) else GB_HOUR * price


MEMORY_PRICE = Calculator(
    name="memory-price",
    title="Memory price of a mixture",
    question="Below which price of memory is a mixture cheaper than a dense model?",
    machine="H100-SXM",
    inputs=(
        "usd_per_hour",
        "tokens_per_second",
        "bytes_per_weight",
        "total_params",
        "active_params",
        "dense_params",
        "memory_bytes",
        "peak_flops",
        "utilisation",
    ),
    defaults={
        "usd_per_hour": 2.5,
        "total_params": 671,
        "active_params": 37,
        "dense_params": 200,
    },
    lines=price_lines,
    by_function=tie_price,
    answer="price",
    plot=Plot(
        x="tokens_per_second",
        low=10,
        high=1_000_000,
        series=(
            Series("price", "both cost the same"),
            Series("device_gb", "the device's own price of a GB-hour"),
        ),
        caption="Price of a GB-hour at which both cost the same, against the traffic",
        crossing=Crossing(
            a="price",
            b="device_gb",
            label="the mixture is cheaper",
            found="From {x} tokens a second on, the mixture is cheaper even if the "
            "whole price of the device is put on its memory.",
            never="Up to {high} tokens a second memory would have to cost less than "
            "the device's whole price.",
            always="The mixture is cheaper at any traffic shown.",
        ),
    ),
    findings=(
        Finding(
            text="The mixture is cheaper while a GB of memory costs less than {price} "
            "an hour, at {tokens_per_second} tokens a second of one copy."
        ),
    ),
    worked=(
        {},
        {"tokens_per_second": 100},
        {"dense_params": 100},
        {"total_params": 47, "active_params": 13, "dense_params": 40},
    ),
)
