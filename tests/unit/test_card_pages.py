"""The page of a chapter that holds a section, for a chapter of one page and one of several."""

import pytest

from course_lib.course.cards.pages import page_of


@pytest.fixture
def root(tmp_path):
    (tmp_path / "book").mkdir()
    (tmp_path / "book/01_first.md").write_text("(one)=\n# One\n")
    (tmp_path / "book/01_more.md").write_text("text\n\n(two)=\n## Two\n\nnot a (label)= here\n")
    (tmp_path / "book/02_next.md").write_text("(three)=\n# Three\n")
    return tmp_path


def test_the_page_is_the_one_that_holds_the_label(root):
    assert page_of(root, "01_first", "one") == "book/01_first.md"
    assert page_of(root, "01_first", "two") == "book/01_more.md"


@pytest.mark.parametrize("label", ["three", "label", ""])
def test_a_label_of_another_chapter_or_of_none_is_refused(root, label):
    with pytest.raises(ValueError, match=f"label '{label}': allowed are one, two"):
        page_of(root, "01_first", label)
