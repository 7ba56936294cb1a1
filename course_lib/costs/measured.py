"""Public measurements beside the bounds: what engines reached, and which share of the
bound that is.

The rows are kept with their sources in `measured.yml`. A rate is held against the most
that the peaks allow, a time against the least, and room for tokens against the memory
that the weights leave. `reached` is 1 where an engine meets its bound, and no row may
lie above it: a bound below a measurement is no bound.

Terms:
    public measurement, benchmark report: what others measured, with engine, settings
        and source -> Measurement, public_measurements
    share of the bound, efficiency, model bandwidth utilisation: measured over bound,
        for a time bound over measured -> reached, reached_by_device
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from importlib.resources import files
from statistics import median

import yaml

from course_lib.costs.arithmetic import check_positive
from course_lib.costs.hardware import (
    Hardware,
    fastest_arithmetic,
    list_hardware,
    load_hardware,
)
from course_lib.costs.latency import bends_of, request_latency, sum_of_steps
from course_lib.costs.roofline import decode_roofline, prefill_roofline
from course_lib.costs.serving import tokens_in_all
from course_lib.costs.work import RooflineTime
from course_lib.specs.loader import load_release, load_spec
from course_lib.specs.records import ModelSpec

RATES = ("output_rate", "cached_tokens")
TIMES = ("request", "first_token", "step")
SPLITS = (None, "heads", "requests")


@dataclass(frozen=True)
class Measurement:
    """One published figure. `measured.yml` says what each field means; times are in
    seconds, rates in tokens per second over all devices.
    """

    model: str
    named: str
    device: str
    quantity: str
    value: float
    weight_bits: float
    cache_bits: float
    arithmetic_bits: int
    devices: int
    split: str | None
    batch: int | None
    tokens_in: int | None
    tokens_out: int | None
    assumed: tuple[str, ...]
    engine: str
    title: str
    url: str
    reported: str | None
    read: str
    how: str

    def __post_init__(self) -> None:
        if self.quantity not in RATES + TIMES:
            raise ValueError(
                f"quantity={self.quantity!r}: allowed are {', '.join(RATES + TIMES)}"
            )
        if self.split not in SPLITS or (self.devices > 1) != (self.split is not None):
            raise ValueError(
                f"split={self.split!r}: heads or requests is allowed for several "
                "devices, nothing for one"
            )
        check_positive(value=self.value, weight_bits=self.weight_bits)

    @property
    def bound_is_known(self) -> bool:
        """Whether the device is in the table of `hardware`."""
        return self.device in list_hardware()


@cache
def public_measurements() -> tuple[Measurement, ...]:
    """The rows of `measured.yml`, in their order.

    >>> len({row.device for row in public_measurements()}) >= 6
    True
    """
    text = files("course_lib.costs").joinpath("measured.yml").read_text("utf-8")
    kept = yaml.safe_load(text)
    return tuple(_measurement(row, kept["sources"]) for row in kept["rows"])


def _measurement(row: Mapping, sources: Mapping[str, Mapping]) -> Measurement:
    source, bits, devices = sources[row["source"]], row["bits"], row.get("devices", 1)
    tokens = row.get("tokens", {})
    spread = devices if row.get("per_device") else 1
    return Measurement(
        model=row["model"],
        named=row.get("named") or load_release(row["model"]).name,
        device=row["device"],
        quantity=row["quantity"],
        value=row["value"] * spread,
        weight_bits=bits["weight"],
        cache_bits=bits["cache"],
        arithmetic_bits=bits["arithmetic"],
        devices=devices,
        split=row.get("split"),
        batch=row.get("batch"),
        tokens_in=tokens.get("in"),
        tokens_out=tokens.get("out"),
        assumed=tuple(row.get("assumed", ())),
        engine=source["engine"],
        title=source["title"],
        url=source["url"],
        reported=None if source["reported"] is None else str(source["reported"]),
        read=str(source["read"]),
        how=source["how"],
    )


def bound(row: Measurement) -> float:
    """The least time, or the highest rate, that the peaks of the row's devices allow.

    *Equation*: `request_latency`; prefill_roofline; decode_roofline at the mean context
        n_in + n_out / 2; `rate_bound`; `tokens_in_all` with nothing kept back.

    Returns: seconds, tokens per second, or tokens.
    Raises: ValueError if the device is not in the table of `hardware`.
    """
    spec, hardware, options = load_spec(row.model), _machine(row), _options(row)
    if row.quantity == "cached_tokens":
        return tokens_in_all(spec, hardware, 1, reserve=0, **options)
    n_in, n_out = row.tokens_in, row.tokens_out
    if row.quantity == "output_rate":
        lengths = {"tokens_in": n_in, "tokens_out": n_out, "batch": row.batch}
        return rate_bound(spec, hardware, **lengths, **options)
    options["batch"] = row.batch
    if row.quantity == "request":
        lengths = {"tokens_in": n_in, "tokens_out": n_out}
        return request_latency(spec, hardware, **lengths, **options)
    if row.quantity == "first_token":
        return prefill_roofline(spec, hardware, n_in, **options).time_s
    middle = n_in + n_out // 2
    return decode_roofline(spec, hardware, context=middle, **options).time_s


def _machine(row: Measurement) -> Hardware:
    """The device at the highest peak of arithmetic in the row's bits."""
    hardware = load_hardware(row.device)
    return hardware.computing(fastest_arithmetic(hardware, row.arithmetic_bits / 8))


def _options(row: Measurement) -> dict:
    """What every bound is told: devices and byte widths."""
    return {
        "devices": row.devices,
        "split": row.split or "heads",
        "bytes_per_weight": row.weight_bits / 8,
        "bytes_per_element": row.cache_bits / 8,
    }


def rate_bound(
    spec: ModelSpec,
    hardware: Hardware,
    *,
    tokens_in: int,
    tokens_out: int,
    batch: int | None = None,
    **options,
) -> float:
    """Output tokens per second that no server of full batches exceeds.

    All of the arithmetic has to be done, and all bytes have to be read; a perfect
    server does both at once, and reads the weights in no step but those that decode.

    *Equation*: B n_out / max(compute, memory), compute = B prefill + the steps', memory
        = the steps'; B requests at once: `batch`, or as many caches of the mean length
        n_in + n_out / 2 as fit, one more a device for rounding.

    Args: `tokens_in`, `tokens_out` of every request; `batch` B; `options` of
        `prefill_roofline` and `decode_roofline`.
    Returns: tokens per second over all devices.
    Raises: ValueError as those functions do.
    """
    if batch is None:
        length = tokens_in + tokens_out // 2
        batch = tokens_in_all(spec, hardware, length, reserve=0, **options) // length
        batch += options.get("devices", 1)
    prefill = prefill_roofline(spec, hardware, tokens_in, **options)
    step = partial(decode_roofline, spec, hardware, batch=batch, **options)

    def arithmetic(context: int) -> RooflineTime:
        return RooflineTime(compute_s=step(context=context).compute_s, memory_s=0.0)

    def traffic(context: int) -> RooflineTime:
        return RooflineTime(compute_s=0.0, memory_s=step(context=context).memory_s)

    steps = tokens_in + 1, tokens_in + tokens_out - 1, bends_of(spec)
    compute = batch * prefill.compute_s + sum_of_steps(arithmetic, *steps)
    return batch * tokens_out / max(compute, sum_of_steps(traffic, *steps))


@cache
def reached(row: Measurement) -> float:
    """Share of the bound that was reached: measured / bound for a rate, bound /
    measured for a time. Above 1 the bound would be none.
    """
    share = row.value / bound(row)
    return share if row.quantity in RATES else 1 / share


def reached_by_device(
    kind: Callable[[Measurement], bool] = lambda row: True,
) -> dict[str, tuple[float, float, float, int]]:
    """Lowest, median and highest share of the bound by device, and how many rows.

    Args: `kind` which rows to take.
    Returns: by device, in the table's order; devices without a row are left out.
    """
    shares: dict[str, list[float]] = {}
    for row in public_measurements():
        if row.bound_is_known and kind(row):
            shares.setdefault(row.device, []).append(reached(row))
    return {
        device: (min(found), median(found), max(found), len(found))
        for device, found in shares.items()
    }


def measured_on(device: str) -> tuple[Measurement, ...]:
    """The rows of a device, by its name in the table of `hardware`."""
    return tuple(row for row in public_measurements() if row.device == device)
