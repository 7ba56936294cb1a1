"""Costs of side parts: gates, scales and projections beside the mixers and feed-forward
parts of a block or of a model.

Terms:
    side part cost: weights, other parameters and last inputs of what stands beside
        mixer and feed-forward part -> side_weights, side_params, side_inputs
"""

from course_lib.costs.arithmetic import Number
from course_lib.specs.records import SideSpec


def side_weights(sides: tuple[SideSpec, ...]) -> Number:
    """Matrix weights that a token meets, 2 FLOPs each."""
    return sum(side.weights for side in sides)


def side_params(sides: tuple[SideSpec, ...]) -> Number:
    """All parameters: matrices, tables that are looked up, vectors."""
    return sum(side.weights + side.rows + side.vectors for side in sides)


def side_inputs(sides: tuple[SideSpec, ...]) -> Number:
    """Elements of earlier tokens kept for a sequence of any length."""
    return sum(side.inputs for side in sides)
