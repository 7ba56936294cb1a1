"""Rerankers, the candidates of chapter 0: four ways to rank the passages of a query, as
`Criteria`.

Seconds and dollars come from published configurations and a roofline. Errors, risks and
prices are assumptions of the example: a team measures them on its own queries.

Terms:
    reranker, reranking: a second, costlier model that orders the passages which
        retrieval found -> rerankers
"""

from course_lib.costs.hardware import load_hardware
from course_lib.costs.latency import request_latency
from course_lib.costs.roofline import prefill_time
from course_lib.decide.selection import Criteria, Weights
from course_lib.specs.loader import load_spec

TOKENS, PAIRS, WRITTEN = 512, 100, 20
"""Tokens of a query with one passage, such pairs a query, and tokens that a writing
model says to each.
"""
DEVICE, DEVICES, USD_PER_DEVICE_HOUR = "H100-SXM", 4, 2.50
ASSUMED_ERROR = {
    "encoder, one pass": 0.120,
    "8B, one pass": 0.119,
    "70B, one pass": 0.100,
    "70B, 20 tokens": 0.099,
}
"""Wrong top results a query."""
ASSUMED_RISK = {
    "encoder, one pass": 1e-6,
    "8B, one pass": 1e-6,
    "70B, one pass": 1e-6,
    "70B, 20 tokens": 5e-6,
}
"""Incidents a query."""
PRICES = Weights(
    usd_per_error=0.05, usd_per_second=0.001, usd_per_usd=1, usd_per_incident=20
)
"""The prices that the example starts with."""


def rerankers() -> dict[str, Criteria]:
    """The four candidates by name, a query each.

    Returns: errors and risks as assumed; seconds of the roofline, nobody else waiting;
        dollars of the devices for these seconds.

    >>> {name: round(each.latency_s, 4) for name, each in rerankers().items()}
    {'encoder, one pass': 0.0085, '8B, one pass': 0.1824,
     '70B, one pass': 1.7799, '70B, 20 tokens': 2.0012}
    """
    device = load_hardware(DEVICE)
    one_pass = {"encoder": "bert-large", "8B": "llama-3.1-8b", "70B": "llama-3.1-70b"}
    seconds = {
        f"{name}, one pass": prefill_time(
            load_spec(spec), device, TOKENS, batch=PAIRS, devices=DEVICES
        )
        for name, spec in one_pass.items()
    }
    seconds[f"70B, {WRITTEN} tokens"] = request_latency(
        load_spec(one_pass["70B"]),
        device,
        tokens_in=TOKENS,
        tokens_out=WRITTEN,
        batch=PAIRS,
        devices=DEVICES,
    )
    return {
        name: Criteria(
            error=ASSUMED_ERROR[name],
            latency_s=spent,
            cost_usd=DEVICES * spent * USD_PER_DEVICE_HOUR / 3600,
            risk=ASSUMED_RISK[name],
        )
        for name, spent in seconds.items()
    }
