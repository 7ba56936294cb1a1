"""The `{gallery}` directive: every published model, drawn from its own configuration.

    ```{gallery}
    ```

    ```{gallery-timeline}
    :name: fig-timeline

    The models by time: a numbered figure with this caption.
    ```

    ```{gallery-model} mixtral-8x7b deepseek-v3
    :name: fig-mixtures

    One model on any page, or two with their differences marked.
    ```

On the page stand names, dates, sizes, thumbnails and sources. The pictures lie in
`_static/gallery`: as an SVG file for a reader without JavaScript, and as a script that
hands the same SVG over when its model is looked at (a page from a folder can fetch
nothing). What the page computes, it computes by the library's own code, translated.
"""

from collections.abc import Iterator
from itertools import groupby
from typing import ClassVar

from diagram import figure_nodes
from docutils import nodes
from docutils.parsers.rst import directives
from elements import element, html
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from course_lib.course.gallery.boxes import amount_text
from course_lib.course.gallery.catalogue import MECHANISMS, Entry, entries, entry
from course_lib.course.gallery.files import picture, prefix, write_gallery
from course_lib.course.gallery.pair import draw_pair
from course_lib.course.gallery.thumb import thumbnail
from course_lib.course.gallery.timeline import timeline
from course_lib.kit.units import billions_text, count_text

FOLDER = "gallery"
UNDATED = "No date found"
SORTS = {
    "newest": "newest first",
    "oldest": "oldest first",
    "largest": "most parameters first",
    "name": "by name",
}


def options(pairs: list[tuple[str, str]]) -> list[element]:
    return [html("option", text, value=value) for value, text in pairs]


def field(name: str, label: str, pairs: list[tuple[str, str]]) -> element:
    """A labelled choice."""
    return html(
        "div",
        html("label", label, for_=name),
        html("select", *options(pairs), id=name),
        class_="gallery-field",
    )


def filters(found: tuple[Entry, ...]) -> element:
    """The form that narrows the list, hidden until a script stands behind it."""
    series = sorted({one.release.series for one in found}, key=str.lower)
    years = sorted({one.release.year or "" for one in found}, reverse=True)
    everything = [("", "all")]
    return html(
        "form",
        field("gallery-series", "Series", everything + [(s, s) for s in series]),
        field(
            "gallery-year",
            "Year",
            everything + [(y or "none", y or UNDATED) for y in years],
        ),
        field("gallery-has", "Mechanism", everything + [(m, m) for m in MECHANISMS]),
        field("gallery-sort", "Order", list(SORTS.items())),
        html("p", role="status", aria_live="polite", class_="gallery-count"),
        class_="gallery-filter",
        hidden="hidden",
    )


def comparing(found: tuple[Entry, ...]) -> element:
    """The form that sets two models side by side, hidden until a script stands behind
    it.
    """
    named = sorted(
        ((one.name, one.release.name) for one in found),
        key=lambda pair: pair[1].lower(),
    )
    own = [("", "choose a model"), ("config.json", "a config.json of your own")]
    pasted = html(
        "div",
        html("label", "config.json", for_="gallery-config"),
        html(
            "textarea",
            id="gallery-config",
            rows="10",
            spellcheck="false",
            autocomplete="off",
        ),
        class_="gallery-pasted",
        hidden="hidden",
    )
    return html(
        "form",
        field("gallery-left", "Model", [("", "choose a model"), *named]),
        field("gallery-right", "Beside", own + named),
        pasted,
        html("div", class_="gallery-answer", id="gallery-answer", aria_live="polite"),
        class_="gallery-compare",
        hidden="hidden",
    )


def facts_of(one: Entry) -> Iterator[tuple[str, str]]:
    """What stands beside a picture, as pairs of a name and a value."""
    for amount in one.view.amounts:
        yield amount.label, amount_text(amount)
    if one.spec.context:
        yield "Context", f"{count_text(one.spec.context)} tokens"
    stated = one.spec.published
    if stated.total:
        left = " and ".join(part.replace("_", " ") for part in stated.active_leaves_out)
        active = f", {billions_text(stated.active)} active" if stated.active else ""
        without = f" (without {left})" if left else ""
        yield "Its authors say", f"{billions_text(stated.total)}{active}{without}"


def dated(one: Entry) -> list[nodes.Node | str]:
    """The date of a model, of what it is, and where it was read."""
    release = one.release
    if release.date is None:
        return ["no date was found in what its authors publish"]
    of = {
        "release": "released",
        "report": "its report",
        "class": "its class in transformers",
    }[release.dates]
    link = html("a", release.citation, href=release.url, class_="reference external")
    return [f"{release.date}, {of}: ", link]


def sources(one: Entry) -> element:
    """Where the figures of a model were read."""
    items = [
        html(
            "li",
            f"{', '.join(source.covers)} ({source.seen}, checked {source.checked}): ",
            html("a", source.citation, href=source.url, class_="reference external"),
        )
        for source in one.spec.sources
    ]
    return html("details", html("summary", "Sources"), html("ul", *items))


def summary_line(one: Entry) -> str:
    """The sizes of a model in few words."""
    amounts = {amount.key: amount_text(amount) for amount in one.view.amounts}
    active = f", {amounts['active']} active" if "active" in amounts else ""
    cache = amounts.get("cache", "").replace(" per token", " a token")
    kept = f"; cache {cache}" if cache else "; a state" if "fixed" in amounts else ""
    return f"{amounts['total']}{active}{kept}"


def item(one: Entry, base: str) -> element:
    """One model: its thumbnail, and folded below it its picture, facts and sources."""
    figure = picture(one)
    image = (
        f'<noscript><img class="dark-light" loading="lazy" src="{base}{one.name}.svg" '
        f'alt="{escaped(figure.description)}"></noscript>'
    )
    pairs = [
        html("div", html("dt", name), html("dd", value))
        for name, value in facts_of(one)
    ]
    pairs += [html("div", html("dt", "Date"), html("dd", *dated(one)))]
    head = html(
        "summary",
        nodes.raw("", thumbnail(one.view), format="html"),
        html("span", one.release.name, class_="gallery-name"),
        html("span", summary_line(one), class_="gallery-size"),
    )
    body = html(
        "div",
        html("dl", *pairs, class_="gallery-facts"),
        html("div", nodes.raw("", image, format="html"), class_="gallery-picture"),
        sources(one),
        class_="gallery-body",
    )
    return html(
        "details",
        head,
        body,
        id=one.name,
        class_="gallery-model",
        data_series=one.release.series,
        data_year=one.release.year or "none",
        data_date=one.release.date or "",
        data_total=str(one.view.amounts[0].value),
        data_has="|".join(one.mechanisms),
    )


def escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")


class Gallery(SphinxDirective):
    """All published models, by year."""

    def run(self) -> list[nodes.Node]:
        found = entries()
        base = "../" * self.env.docname.count("/") + f"_static/{FOLDER}/"
        years = [
            html(
                "section",
                html("h3", year),
                html(
                    "div", *(item(one, base) for one in models), class_="gallery-models"
                ),
                class_="gallery-year",
            )
            for year, models in groupby(found, lambda one: one.release.year or UNDATED)
        ]
        listed = html("div", *years, class_="gallery-list")
        whole = html(
            "div",
            comparing(found),
            filters(found),
            listed,
            id="gallery",
            data_base=base,
        )
        return [whole]


class Timeline(SphinxDirective):
    """The models by time, as a numbered figure."""

    has_content = True
    option_spec: ClassVar = {"name": directives.unchanged}

    def run(self) -> list[nodes.Node]:
        return figure_nodes(self, timeline(entries()), "timeline")


class DrawnModel(SphinxDirective):
    """One published model as a numbered figure, or two with their differences
    marked.
    """

    required_arguments = 1
    optional_arguments = 1
    has_content = True
    option_spec: ClassVar = {"name": directives.unchanged}

    def run(self) -> list[nodes.Node]:
        try:
            found = [entry(name) for name in self.arguments]
        except ValueError as wrong:
            raise self.error(str(wrong)) from wrong
        if len(found) == 1:
            drawn = picture(found[0])
        else:
            left, right = found
            names = left.release.name, right.release.name
            drawn = draw_pair(left.spec, right.spec, names)
        return figure_nodes(self, drawn, "-".join(map(prefix, found)))


def write_files(app: Sphinx, wrong: Exception | None) -> None:
    """Write the pictures, and the script that describes a pasted config."""
    if wrong is None and app.builder.format == "html":
        write_gallery(app.outdir / "_static" / FOLDER)


def load_scripts(app, page, template, context, doctree):
    """Let the gallery's page load its script and its style."""
    if doctree and any("gallery" in node["ids"] for node in doctree.findall(element)):
        app.add_css_file("gallery.css")
        for at, name in enumerate(("gallery-lining", "gallery-pair", "gallery")):
            app.add_js_file(f"{name}.js", loading_method="defer", priority=600 + at)


def setup(app: Sphinx) -> dict:
    """Register the directive, and what its page loads."""
    app.setup_extension("elements")
    app.setup_extension("diagram")
    app.add_directive("gallery", Gallery)
    app.add_directive("gallery-timeline", Timeline)
    app.add_directive("gallery-model", DrawnModel)
    app.connect("html-page-context", load_scripts)
    app.connect("build-finished", write_files)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
