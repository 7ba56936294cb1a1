"""HTML elements as nodes, for directives that need more than docutils has: attributes,
forms, headed rows.

    html("article", html("p", "text"), class_="card", data_chapter="03_kv_cache")

Children may be any docutils nodes, so links and citations inside are resolved as
everywhere else.
"""

from collections.abc import Callable, Iterable

from docutils import nodes


class element(nodes.General, nodes.TextElement):
    """One HTML element, with the tag and the attributes it says. A link stands only in
    an element of text.
    """


def html(tag: str, *children: nodes.Node | str, **attributes: str) -> element:
    """Return an HTML element; strings become text, `for_` becomes `for`, `data_id`
    becomes `data-id`.

        >>> html("label", "Chapter", for_="a")["html"]
        {'for': 'a'}
    """
    node = element("", "", *texts_as_nodes(children))
    node["tag"] = tag
    node["ids"] = [attributes.pop("id")] if "id" in attributes else []
    node["html"] = {
        name.strip("_").replace("_", "-"): value for name, value in attributes.items()
    }
    return node


def texts_as_nodes(children: Iterable[nodes.Node | str]) -> list[nodes.Node]:
    return [
        nodes.Text(child) if isinstance(child, str) else child for child in children
    ]


def table(head: Iterable[str], rows: Iterable[Iterable[nodes.Node | str]]) -> element:
    """Return a table whose first column heads its rows."""
    top = html("tr", *(html("th", cell, scope="col") for cell in head))
    body = [
        html("tr", html("th", first, scope="row"), *(html("td", cell) for cell in rest))
        for first, *rest in rows
    ]
    inner = html("table", html("thead", top), html("tbody", *body), class_="table")
    return html("div", inner, class_="pst-scrollable-table-container")


def choice(
    name: str, label: str, everything: str, options: Iterable[tuple[str, str]]
) -> list[element]:
    """Return a labelled select whose first option leaves everything in."""
    listed = [
        html("option", text, value=value)
        for value, text in [("", everything), *options]
    ]
    return [html("label", label, for_=name), html("select", *listed, id=name)]


def visit(translator, node):
    translator.body.append(translator.starttag(node, node["tag"], "", **node["html"]))


def depart(translator, node):
    translator.body.append(f"</{node['tag']}>")


def needs(
    tag: str, styles: Iterable[str], scripts: Iterable[str], first: int
) -> Callable:
    """Return what Sphinx calls for each page: one that holds an element of that tag
    loads the styles, and the scripts in their order from priority `first` on.
    """
    styles, scripts = tuple(styles), tuple(scripts)

    def load(app, page, template, context, doctree):
        if doctree and any(node["tag"] == tag for node in doctree.findall(element)):
            for name in styles:
                app.add_css_file(name)
            for priority, name in enumerate(scripts, start=first):
                app.add_js_file(name, loading_method="defer", priority=priority)

    return load


def setup(app):
    """Teach the HTML writer the element."""
    app.add_node(element, html=(visit, depart))
    return {"version": "1", "parallel_read_safe": True}
