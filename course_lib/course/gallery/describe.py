"""`describe(spec)`: a model as rows of facts with keys, and the amounts that follow."""

from collections.abc import Iterator

from course_lib.costs.cache import cache_bytes_per_token, cache_line
from course_lib.costs.params import param_count
from course_lib.course.gallery.ends import end_part
from course_lib.course.gallery.rows import Amount, Stack, View
from course_lib.course.gallery.stack import stack_view
from course_lib.specs.records import ModelSpec

BYTES = 2  # of a weight and of a cached number, bf16


def describe(spec: ModelSpec) -> View:
    """Describe a model: stacks of parts with rows, and what they cost.

    Args: `spec` of the model.
    Returns: its view; two views are compared by `differences`.
    Raises: ValueError naming a record or a word that is not described.

    >>> from course_lib.specs.loader import load_spec
    >>> [stack] = describe(load_spec("llama-3-8b")).stacks
    >>> [row.text for row in stack.head]
    ['32 layers', 'width 4,096', 'context 8,192']
    """
    return View(spec.name, tuple(stacks_of(spec)), tuple(amounts_of(spec)))


def stacks_of(spec: ModelSpec) -> Iterator[Stack]:
    """The stacks of a model in the order in which data passes them."""
    if spec.vision is not None:
        tower = spec.vision
        yield stack_view(tower, tower.layers, "image tower", end_part(tower))
    if spec.encoder:
        yield stack_view(spec, spec.encoder, "encoder", None)
    key = "decoder" if spec.encoder else "model"
    yield stack_view(
        spec,
        spec.layers,
        "text tower" if spec.vision is not None else key,
        end_part(spec),
    )


def amounts_of(spec: ModelSpec) -> Iterator[Amount]:
    """Parameters, bytes of the weights, and what the cache grows by."""
    count = param_count(spec)
    yield Amount("total", "Parameters", count.total, "parameters")
    if count.active != count.total:
        yield Amount("active", "Active per token", count.active, "parameters")
    yield Amount("weights", "Weights in bf16", BYTES * count.total, "bytes")
    if spec.head == "lm":
        yield from cache_amounts(spec)


def cache_amounts(spec: ModelSpec) -> Iterator[Amount]:
    """The cache of one request: what a token adds while the windows have room, what it
    adds when they are full, and what is kept however long the text.
    """
    crosses = any(layer.cross is not None for layer in spec.layers)
    line = cache_line(spec, source_tokens=1 if crosses else None)
    growth = cache_bytes_per_token(spec)
    if growth:
        yield Amount("cache", "Cache", growth, "bytes per token")
    if line.bytes_per_token != growth:
        later = line.bytes_per_token
        yield Amount("later", "Cache, windows full", later, "bytes per token")
    if line.fixed_bytes and not crosses:
        label = "Held by full windows" if line.bytes_per_token != growth else "State"
        yield Amount("fixed", label, line.fixed_bytes, "bytes per sequence")
