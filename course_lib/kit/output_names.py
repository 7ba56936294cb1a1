"""Names of a notebook's outputs, by which the book's pages ask for them."""


def check_name(name: str) -> None:
    """Refuse a name that is no identifier.

    Raises:
        ValueError: as said.
    """
    if not name.isidentifier():
        raise ValueError(
            f"name={name!r}: allowed are letters, digits and underscores, not "
            "starting with a digit"
        )


def named(name: str | None) -> dict:
    """Return the metadata of an output: its name, where it has one.

    >>> named("fig_loss")
    {'scrapbook': {'name': 'fig_loss', 'mime_prefix': ''}}
    """
    return {"scrapbook": {"name": name, "mime_prefix": ""}} if name else {}
