"""What stands before the first layer and after the last (token embedding, patches,
head) as rows.
"""

from collections.abc import Iterator

from course_lib.costs.ends import head_params, patch_params
from course_lib.course.gallery.norms import norm_text
from course_lib.course.gallery.rows import Amount, Part, Row, number_text, plural
from course_lib.specs.records import (
    EmbeddingSpec,
    ModelSpec,
    PatchSpec,
    TransformSpec,
)
from course_lib.specs.unions import of_word

HEADS = {
    "lm": "Language-model head",
    "mlm": "Masked-language-model head",
    "pooler": "Pooler: tanh on the first token",
    "classifier": "Classifier",
    "token_classifier": "Classifier of every token",
    "projection": "Projection",
    "none": "",
}


def start_part(spec: ModelSpec) -> Part:
    """The way in: tokens or patches, positions, what is done to their sum."""
    tables, patches = spec.embeddings, spec.patches
    rows = token_rows(spec) if patches is None else patch_rows(patches)
    rows = tuple(rows) + tuple(table_rows(tables))
    counted = spec.vocab + tables.token_types + tables.learned_positions
    total = counted * spec.width + patch_params(spec)
    amounts = (Amount("params", "Parameters", total, "parameters"),)
    shape = f"t×{spec.width:,}"
    return Part("start", "embedding", rows, amounts, shape, tables)


def token_rows(spec: ModelSpec) -> Iterator[Row]:
    """A table of token embeddings."""
    yield Row("kind", "Input", "Token embedding")
    yield Row("vocab", "Vocabulary", f"vocabulary {spec.vocab:,}")


def patch_rows(patches: PatchSpec) -> Iterator[Row]:
    """An image cut into patches."""
    yield Row("kind", "Input", "Patch embedding")
    side = patches.image // patches.patch
    bias = "" if patches.bias else ", no bias"
    pixels = f"{patches.patch} × {patches.patch} × {patches.channels}{bias}"
    image = f"image of {patches.image} × {patches.image} pixels"
    yield Row("image", "Image", image)
    yield Row("patches", "Patches", f"{side * side} patches of {pixels}")
    if patches.class_token:
        yield Row("class_token", "Class token", "a class token")


def table_rows(tables: EmbeddingSpec) -> Iterator[Row]:
    """Positions and segments that are added, and what is done to the sum."""
    if tables.learned_positions:
        skipped = f", {tables.position_offset} unused" if tables.position_offset else ""
        learned = f"{tables.learned_positions:,} learned positions{skipped}"
        yield Row("positions", "Absolute positions", learned)
    if tables.sinusoidal is not None:
        waves = f"sinusoidal positions, {tables.sinusoidal}"
        yield Row("sinusoidal", "Absolute positions", waves)
    if tables.token_types:
        yield Row(
            "token_types",
            "Segments",
            f"{plural(tables.token_types, 'segment embedding')}",
        )
    if tables.scale != 1:
        yield Row("scale", "Scale", f"tokens × {number_text(tables.scale)}")
    if tables.norm is not None:
        yield Row("norm", "Norm", f"then {norm_text(tables.norm)}")


def end_part(spec: ModelSpec) -> Part | None:
    """The head, or None where a model ends with its last layer."""
    kind = of_word("head", spec.head, HEADS)
    if spec.head == "none":
        return None
    rows = tuple(head_rows(spec, kind))
    counted = head_params(spec)
    amounts = (Amount("params", "Parameters", counted, "parameters"),)
    return Part("end", "embedding", rows, amounts, "", None)


def head_rows(spec: ModelSpec, kind: str) -> Iterator[Row]:
    """The facts of a head, the kind first."""
    yield Row("kind", "Head", kind)
    if spec.head in ("lm", "mlm"):
        yield from logit_rows(spec)
    elif spec.transform is not None:
        yield transform_row(spec.transform)
    if spec.outputs:
        yield Row("outputs", "Outputs", f"to {spec.outputs:,}")
        if spec.head in ("classifier", "token_classifier") and not spec.outputs_bias:
            yield Row("outputs_bias", "Bias", "no bias")


def transform_row(transform: TransformSpec) -> Row:
    """The layer before a head's map."""
    bias = "" if transform.bias else ", no bias"
    norm = "" if transform.norm is None else f", {norm_text(transform.norm)}"
    inner = f"{transform.activation}{norm}{bias}"
    return Row("transform", "Transform", f"first W x, {inner}")


def logit_rows(spec: ModelSpec) -> Iterator[Row]:
    """A head that gives a logit to each token of the vocabulary."""
    if spec.transform is not None:
        yield transform_row(spec.transform)
    tied = (
        "tied: the embedding's table" if spec.embeddings.tied else "a table of its own"
    )
    yield Row("tied", "Table", tied)
    if spec.logit_scale != 1:
        yield Row(
            "logit_scale", "Scale of the logits", f"logits × {spec.logit_scale:g}"
        )
    if spec.logit_softcap is not None:
        cap = number_text(spec.logit_softcap)
        yield Row("logit_softcap", "Softcap", f"softcap: logits within ± {cap}")
    if spec.embeddings.head_bias:
        yield Row("head_bias", "Bias", "a learned bias a token")
    if spec.embeddings.head_shift:
        yield Row("head_shift", "Shift", "a shift a token, not learned")
