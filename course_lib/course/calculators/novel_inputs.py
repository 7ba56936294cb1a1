"""Inputs of the calculators of chapter 9: a search for an architecture, and a layer of
spiking neurons.
"""

from course_lib.course.calculators.entry import Input


def _count(
    group: str, name: str, letter: str, label: str, most: int, *, least: int = 1
) -> Input:
    return Input(
        name=name, letter=letter, label=label, least=least, most=most, group=group
    )


NOVEL_INPUTS = (
    _count("search", "designs", "N", "Designs that are scored", 1_000_000),
    _count("search", "seeds", "k", "Seeds of each", 1000),
    _count("search", "kept_designs", "K", "Best ones, trained again", 1_000_000),
    _count("search", "fresh_seeds", "k'", "Fresh seeds of these", 1000, least=0),
    _count("search", "updates", "U", "Updates of a training", 100_000_000),
    Input(
        name="update_tokens",
        letter="n",
        label="Tokens of an update",
        least=1,
        most=100_000_000,
        unit="tokens",
        group="search",
    ),
    Input(
        name="trained_params",
        letter="P",
        label="Parameters of a design",
        least=0.001,
        most=10_000_000,
        unit="M",
        whole=False,
        factor=1e6,
        group="search",
        hint="of the small model that stands for the large one",
    ),
    Input(
        name="scatter",
        letter=r"\sigma",
        label="Scatter of a score between seeds",
        least=0.000001,
        most=1000,
        whole=False,
        group="search",
        hint="a standard deviation, in nats for a loss",
    ),
    Input(
        name="gap",
        letter=r"\delta",
        label="Difference that matters",
        least=0.000001,
        most=1000,
        whole=False,
        group="limits",
        hint="in the unit of the score",
    ),
    _count("layer", "layer_inputs", "m", "Inputs of the layer", 1_000_000),
    _count("layer", "neurons", "n", "Neurons of the layer", 1_000_000),
    _count("layer", "time_steps", "T", "Steps for one input", 1_000_000),
    Input(
        name="event_rate",
        letter="r",
        label="Events per input and step",
        least=0,
        most=1,
        whole=False,
        group="layer",
        hint="the share of inputs that fire",
    ),
    Input(
        name="mac_cost",
        letter="c",
        label="A multiply-add, in additions",
        least=0.01,
        most=1000,
        default=1,
        whole=False,
        group="machine",
        hint="1 counts operations; what it is in energy depends on the chip",
    ),
)
