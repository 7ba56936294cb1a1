"""Calculator of the replicas of popular experts."""

from collections.abc import Mapping

import sympy

from course_lib.costs.experts import zipf_hottest, zipf_replicas
from course_lib.course.calculators.definition import (
    Calculator,
    Finding,
    Line,
    Plot,
    Series,
    Symbols,
)


def replica_lines(model: None, s: Symbols) -> tuple[Line, ...]:
    """Max/mean of the popularity, the replicas that bring it to the target, and their
    bytes.
    """
    hottest = Line(
        name="hottest",
        letter="h",
        value=zipf_hottest(s["experts"], s["skew"]),
        unit="number",
        label="Hottest expert over the mean, before",
    )
    replicas = Line(
        name="replicas",
        letter="R",
        value=zipf_replicas(s["experts"], s["skew"], s["target"]),
        unit="count",
        label="Replicas of a layer",
    )
    memory = Line(
        name="memory",
        letter=r"\text{memory}",
        value=3
        * s["width"]
        * s["expert_width"]
        * s["bytes_per_weight"]
        * s["layers"]
        * replicas.symbol,
        unit="bytes",
        label="Their weights, in all layers",
    )
    more = Line(
        name="more",
        letter=r"\text{more}",
        value=replicas.symbol / s["experts"],
        unit="share",
        label="As a share of the experts",
        printed=False,
    )
    none = Line(
        name="none", letter="", value=sympy.Integer(0), unit="count", printed=False
    )
    return hottest, replicas, memory, more, none


def replicas_wanted(spec: None, v: Mapping[str, float]) -> float:
    """Replicas of a layer, by `zipf_replicas`."""
    return zipf_replicas(v["experts"], v["skew"], v["target"])


EXPERT_REPLICAS = Calculator(
    name="expert-replicas",
    title="Replicas of popular experts",
    question="How many experts must be held twice so that none gets too much?",
    inputs=(
        "target",
        "experts",
        "skew",
        "width",
        "expert_width",
        "layers",
        "bytes_per_weight",
    ),
    defaults={
        "experts": 256,
        "width": 7168,
        "expert_width": 2048,
        "layers": 58,
        "bytes_per_weight": 8,
    },
    lines=replica_lines,
    by_function=replicas_wanted,
    answer="replicas",
    plot=Plot(
        x="skew",
        low=0.05,
        high=1.5,
        series=(Series("replicas", "replicas of a layer"),),
        caption="Replicas of a layer against the skew of the popularity",
    ),
    findings=(
        Finding(
            text="The hottest of {experts} experts gets {hottest} times the mean. "
            "{replicas} replicas a layer bring every copy to the target: {memory} of "
            "weights in all layers.",
            a="replicas",
            b="none",
        ),
        Finding(
            text="The hottest of {experts} experts gets {hottest} times the mean: no "
            "replica is needed."
        ),
    ),
    worked=({}, {"skew": 0.8}, {"skew": 0.8, "target": 1.2}, {"skew": 0}),
)
