"""`course moe audit PATH`: how a saved router uses its experts.

PATH is a folder that `load_checkpoint` reads, or a file with the weights of one layer
(safetensors, or a PyTorch file, of which only weights are read). A folder's model is
run on tokens, a layer's router on vectors; both are drawn at random where none are
given, which says little about real text, and the answer says so.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from course_lib.course.cli.console import JSON, answer, plainly, say, table
from course_lib.kit.units import count_text, share_text, short_text

app = typer.Typer(
    no_args_is_help=True, help="Mixtures of experts: `audit` a saved one."
)

Path_ = Annotated[
    Path,
    typer.Argument(
        metavar="PATH", exists=True, help="A checkpoint's folder, or a layer's weights."
    ),
]
Inputs = Annotated[
    Path | None,
    typer.Option(
        exists=True,
        help="Safetensors: `tokens` [b t] for a folder, `x` [b t d] for a layer. "
        "Default: drawn at random.",
        show_default=False,
    ),
]
Rows = Annotated[int, typer.Option(min=1, max=4096, help="Rows that are drawn.")]
Length = Annotated[int, typer.Option(min=1, max=65536, help="Tokens of a row.")]
TopK = Annotated[int, typer.Option(min=1, help="Experts of a token, for a layer.")]
Scoring = Annotated[
    str, typer.Option(help="softmax, sigmoid or sqrt_softplus; a layer.")
]
Groups = Annotated[int, typer.Option(min=1, help="Groups of experts, for a layer.")]
TopGroups = Annotated[int, typer.Option(min=1, help="Groups of a token, for a layer.")]


@app.callback()
def main() -> None:
    """Hold the options that stand before a command."""


def audit(
    path: Path_,
    inputs: Inputs = None,
    rows: Rows = 8,
    length: Length = 128,
    top_k: TopK = 2,
    scoring: Scoring = "softmax",
    groups: Groups = 1,
    top_groups: TopGroups = 1,
    seed: int = 0,
    as_json: JSON = False,
) -> None:
    """Load, entropy, dead experts and batch dependence of each layer of experts."""
    from course_lib.course.cli.audit import audited  # torch takes seconds to import

    options = {"scoring": scoring, "groups": groups, "top_groups": top_groups}
    facts = audited(path, inputs, rows, length, top_k, seed, **options)
    answer({"path": str(path)} | facts, as_json, show)


app.command("audit")(plainly(audit))


def show(facts: Mapping[str, Any]) -> None:
    """Print a row for each layer, and what to make of it."""
    given, layers = facts["inputs"], facts["layers"]
    head = ("#layer", "#experts", "#max/mean", "#even: at most", "#entropy", "#dead")
    rows = [
        (
            one["layer"],
            one["experts"],
            short_text(one["max_over_mean"]),
            short_text(one["even_max_over_mean"]),
            short_text(one["entropy_share"]),
            len(one["dead_experts"]),
        )
        for one in layers
    ]
    tokens = count_text(given["rows"] * given["tokens_per_row"])
    table(head, rows, title=f"{facts['path']}: {tokens} tokens")
    factors = list(layers[0]["dropped_share"])
    head = ("#layer", *(f"#c = {factor}" for factor in factors))
    for key, title in (
        ("dropped_share", "Picks that a capacity factor c would drop"),
        ("batch_dependence_share", "Tokens that change with their row's batch-mates"),
    ):
        shown = [one for one in layers if one[key]]
        if shown:
            cells = [
                (one["layer"], *(share_text(one[key][c]) for c in factors))
                for one in shown
            ]
            table(head, cells, title=title)
    for note in notes(facts):
        say(note)


def notes(facts: Mapping[str, Any]) -> list[str]:
    """What a reader of the tables should know."""
    found = []
    for one in facts["layers"]:
        if one["max_over_mean"] > one["even_max_over_mean"]:
            found.append(
                f"Layer {one['layer']}: less even than 95 in 100 batches of an even "
                "router."
            )
        if one["dead_experts"] and one["expected_dead_experts"] < 0.5:
            found.append(
                f"Layer {one['layer']}: no token picked {one['dead_experts']}."
            )
    if (gap := facts["rows_alone_gap"]) is not None:
        found.append(
            "A row alone gives what it gives in the batch, up to "
            f"{short_text(gap)} in its logits."
        )
    if facts["inputs"]["drawn_at_random"]:
        found.append(
            "The inputs were drawn at random: the loads of real text are others. "
            "--inputs takes a file."
        )
    return found
