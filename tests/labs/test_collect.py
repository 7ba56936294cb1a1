"""Every file of a class has a row: what is read, and what is not, with its reason."""

import os

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from course_lib.course.labs import collect as collecting
from course_lib.course.labs.collect import collect
from course_lib.course.labs.report import Mark, write_feedback

from .submissions import archive

NOTEBOOK = nbformat.writes(new_notebook(cells=[new_code_cell("x = 1")]))


def told(found) -> dict[str, str]:
    """The reason of each file, "" where it was read."""
    return {one.name: one.reason for one in found}


def test_archives_are_read_two_deep_and_names_are_kept_apart(tmp_path):
    inner = archive({"b/lab.ipynb": NOTEBOOK, "deeper.zip": archive({"c.ipynb": NOTEBOOK})})
    (tmp_path / "class.ZIP").write_bytes(
        archive({"a.ipynb": NOTEBOOK, "inner.zip": inner, "../x.ipynb": NOTEBOOK})
    )
    (tmp_path / "bad.zip").write_bytes(b"PK nothing")
    assert told(collect(tmp_path)) == {
        "bad.zip": "the archive is damaged",
        "class.ZIP/../x.ipynb": "",
        "class.ZIP/a.ipynb": "",
        "class.ZIP/inner.zip/b/lab.ipynb": "",
        "class.ZIP/inner.zip/deeper.zip": "an archive in an archive in an archive",
    }


def test_the_collection_may_be_one_archive(tmp_path):
    path = tmp_path / "all.zip"
    path.write_bytes(archive({"ada.ipynb": NOTEBOOK}))
    assert told(collect(path)) == {"ada.ipynb": ""}
    with pytest.raises(ValueError, match="allowed are a folder and a zip file"):
        collect(tmp_path / "nothing")


def test_a_bomb_is_not_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(collecting, "MOST_UNPACKED_BYTES", 60 * 2**20)
    big = {f"{n}.ipynb": bytes(55 * 2**20) for n in range(4)}
    (tmp_path / "bomb.zip").write_bytes(archive(big))
    reasons = told(collect(tmp_path))
    assert set(reasons) == {"bomb.zip/0.ipynb", "bomb.zip/1.ipynb", "bomb.zip"}
    assert "larger than" in reasons["bomb.zip/0.ipynb"]
    assert "holds too much" in reasons["bomb.zip"]


def test_what_is_no_plain_file_is_named_and_not_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe.ipynb")
    (tmp_path / "folder.ipynb").mkdir()
    (tmp_path / "linked").symlink_to(tmp_path)
    (tmp_path / "notes").write_text("")
    (tmp_path / ".DS_Store").write_text("")
    assert told(collect(tmp_path)) == {
        "linked": "a link to a folder",
        "notes": "a file without an ending, not a notebook (.ipynb)",
        "pipe.ipynb": "not a plain file",
    }


def test_outputs_are_left_out(tmp_path):
    notebook = new_notebook(
        cells=[new_code_cell("x", outputs=[nbformat.v4.new_output("stream", text="x" * 10**6)])]
    )
    nbformat.write(notebook, tmp_path / "a.ipynb")
    assert "outputs" not in collect(tmp_path)[0].notebook.cells[0]


def test_pages_of_odd_names_are_written_below_their_folder(tmp_path):
    names = ["b.pdf", "b.pdf.html/c.pdf", "../x.ipynb", "d" * 300 + "/" + "e" * 300, "..", "/", "C:/x"]
    pages = [write_feedback(Mark(name, "", reasons={"file": "\ud800"}), tmp_path / "f") for name in names]
    assert len({str(page) for page in pages}) == len(names)
    assert all(page.resolve().is_relative_to(tmp_path / "f") for page in pages)
