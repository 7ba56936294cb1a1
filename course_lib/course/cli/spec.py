"""`course spec MODEL|config.json`: what a model is, its parameters by part, where each
figure was read.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from course_lib.costs.params import param_count
from course_lib.course.cli.built import built_model
from course_lib.course.cli.console import JSON, answer, say, table
from course_lib.course.cli.describe import (
    alike,
    ffn_text,
    mixer_kind,
    mixer_text,
    plain,
)
from course_lib.course.cli.fallback import show_built
from course_lib.course.cli.lookup import Model, find_model
from course_lib.kit.units import billions_text, count_text
from course_lib.specs.from_hf import PARSERS
from course_lib.specs.loader import list_specs, load_spec
from course_lib.specs.records import LayerSpec, ModelSpec


def spec(
    model: Model = None,
    listing: Annotated[
        bool, typer.Option("--list", help="List the published models.")
    ] = False,
    families: Annotated[
        bool, typer.Option("--families", help="List the families whose files are read.")
    ] = False,
    as_json: JSON = False,
) -> None:
    """A model's layers, parameters and sources."""
    if families:
        answer({"families": list(PARSERS)}, as_json, show_families)
    elif listing:
        answer(
            {"models": [model_facts(load_spec(name)) for name in list_specs()]},
            as_json,
            show_list,
        )
    else:
        answer_of(model, as_json)


def answer_of(model: str | None, as_json: bool) -> None:
    """Answer with what is known of a model; one that no family reads whole is built
    by `transformers` where that is installed.
    """
    built = built_model(model)
    if built is None:
        answer(spec_facts(find_model(model)), as_json, show)
    else:
        answer(built, as_json, show_built)


def model_facts(found: ModelSpec) -> dict[str, Any]:
    """One line on a model."""
    count = param_count(found)
    return {
        "model": found.name,
        "family": found.family,
        "layers": len(found.layers),
        "encoder_layers": len(found.encoder),
        "width": found.width,
        "vocab": found.vocab,
        "context_tokens": found.context,
        "total_parameters": count.total,
        "active_parameters": count.active,
    }


def spec_facts(found: ModelSpec) -> dict[str, Any]:
    """All that is known of a model."""
    facts = model_facts(found)
    facts["counted"] = found.counted
    count = param_count(found)
    facts["parameters_beside"] = dict(count.beside)
    facts["whole_parameters"] = count.whole
    facts["parameters_by_part"] = dict(param_count(found).by_part)
    facts["published_total_parameters"] = found.published.total
    facts["published_active_parameters"] = found.published.active
    facts["published_active_leaves_out"] = list(found.published.active_leaves_out)
    facts["kinds"] = kinds(found.layers, "decoder" if found.encoder else "stack")
    facts["kinds"] += kinds(found.encoder, "encoder")
    facts["embeddings"] = plain(found.embeddings)
    facts["head"] = found.head
    facts["sources"] = [plain(source) for source in found.sources]
    return facts


def kinds(layers: tuple[LayerSpec, ...], stack: str) -> list[dict[str, Any]]:
    """Each kind of layer of a stack once, with the indices at which it stands."""
    return [
        {
            "stack": stack,
            "layers": len(indices),
            "indices": indices,
            "mixer_text": f"{mixer_kind(layer.mixer)}: {mixer_text(layer.mixer)}",
            "ffn_text": ffn_text(layer.ffn),
            "layer": plain(layer),
        }
        for layer, indices in alike(layers, lambda layer: layer).items()
    ]


def show_families(facts: Mapping[str, Any]) -> None:
    """Print the model types that are read."""
    names = sorted(facts["families"])
    say(f"{len(names)} model types are read: {', '.join(names)}.")
    say(
        "A wrapper is read too where its text_config is one of these; its towers are "
        "counted beside where they are."
    )


def show_list(facts: Mapping[str, Any]) -> None:
    """Print the list of models."""
    head = ("model", "family", "#total", "#active", "#layers", "#width", "#context")
    rows = [
        (
            one["model"],
            one["family"],
            billions_text(one["total_parameters"]),
            billions_text(one["active_parameters"]),
            one["layers"] + one["encoder_layers"],
            count_text(one["width"]),
            context_text(one["context_tokens"]),
        )
        for one in facts["models"]
    ]
    table(head, rows)


def show(facts: Mapping[str, Any]) -> None:
    """Print the tables of `spec`."""
    layers = facts["layers"] + facts["encoder_layers"]
    title = (
        f"{facts['model']} ({facts['family']}): {layers} layers, width "
        f"{count_text(facts['width'])}"
    )
    sizes = (
        f"vocabulary {count_text(facts['vocab'])}, context "
        f"{context_text(facts['context_tokens'])}"
    )
    rows = [
        (kind["layers"], kind["stack"], kind["mixer_text"], kind["ffn_text"])
        for kind in facts["kinds"]
    ]
    table(
        ("#layers", "stack", "tokens mixed by", "each token by"),
        rows,
        title=f"{title}, {sizes}",
    )
    total = facts["total_parameters"]
    parts = sorted(facts["parameters_by_part"].items(), key=lambda part: -part[1])
    rows = [(part, count_text(n), f"{n / total:.1%}") for part, n in parts]
    rows += [("total", count_text(total), "100%")]
    rows += [
        (
            "active per token",
            count_text(facts["active_parameters"]),
            f"{facts['active_parameters'] / total:.1%}",
        )
    ]
    table(("parameters", "#count", "#share"), rows)
    for line in counted_lines(facts):
        say(line)
    for name in ("total", "active"):
        if facts[f"published_{name}_parameters"]:
            say(
                f"Published {name}: "
                f"{billions_text(facts[f'published_{name}_parameters'])}."
            )
    show_sources(facts["sources"])


def counted_lines(facts: Mapping[str, Any]) -> list[str]:
    """Which class was counted, and what stands beside a wrapper's language part."""
    lines = [f"Counted as {facts['counted']}."] if facts["counted"] else []
    beside = facts["parameters_beside"]
    known = {name: count for name, count in beside.items() if count}
    if known:
        parts = " + ".join(f"{name} {count_text(n)}" for name, n in known.items())
        lines.append(
            f"Language part {count_text(facts['total_parameters'])} + {parts} = "
            f"{count_text(facts['whole_parameters'])}."
        )
    unknown = [name for name in beside if name not in known]
    if unknown:
        lines.append(f"Not counted: {', '.join(unknown)}.")
    return lines


def show_sources(sources: Sequence[Mapping[str, Any]]) -> None:
    """Print where each figure was read; addresses stand below the table, whole."""
    rows = [
        (number, ", ".join(one["covers"]), one["seen"], one["citation"], one["checked"])
        for number, one in enumerate(sources, start=1)
    ]
    if rows:
        table(("#", "figure", "seen", "source", "checked"), rows, title="Sources")
    for number, one in enumerate(sources, start=1):
        say(f"{number}  {one['url']}")


def context_text(tokens: int | None) -> str:
    """A context in tokens, or a dash where the model states none."""
    return "-" if tokens is None else count_text(tokens)
