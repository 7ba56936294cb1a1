"""The recorded experiments on one page, made from experiments/results while the book is
built.

    ```{recorded-runs-summary}    one row an experiment
    ```{recorded-runs}            every experiment: question, budget, differences

An experiment without results stops the build.
"""

from collections.abc import Iterator

from coursepage import CourseDirective, chapter_name
from docutils import nodes
from elements import element, html
from outputs import captioned
from sphinx.errors import ExtensionError

from course_lib.course.recorded import Record, read_records

PAGE = "book/recorded_runs"
SUMMARY = (
    "Every recorded experiment, with the chapter that reads it, the question it "
    "answers, the CPU time of all its runs, and whether two other sets of seeds "
    "repeated what it found."
)
CAPTION = (
    "{asks} Paired differences in {unit}, each with its 95 % interval: a row is one "
    "comparison, a column one budget or one set of other seeds. The last column says "
    "whether those repeat the first."
)


def anchor(name: str) -> str:
    """Return the anchor of an experiment on its page.

    >>> anchor("kv_heads")
    'run-kv-heads'
    """
    return f"run-{name.replace('_', '-')}"


def minutes(seconds: float) -> str:
    """Return CPU time as a person says it.

    >>> minutes(43.2), minutes(1015.7)
    ('43\xa0s', '17\xa0min')
    """
    text = f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"
    return text.replace(" ", "\xa0")


class RecordsDirective(CourseDirective):
    """What the directives share: the data."""

    def records(self) -> tuple[Record, ...]:
        """Return every experiment; the build stops where results are missing."""
        self.env.note_reread()  # it depends on every result and every notebook
        try:
            return read_records(self.root)
        except ValueError as error:
            raise ExtensionError(f"recorded runs: {error}") from error

    def numbered(self, name: str, head: list, rows: list, caption: str) -> nodes.table:
        """Return a table with a number, to which a page can refer by its name."""
        node = captioned(head, rows, [nodes.Text(caption)])
        node["names"].append(name)
        self.state.document.note_explicit_target(node, node)
        return node


class Summary(RecordsDirective):
    """One row an experiment."""

    def run(self):
        rows = []
        for record in self.records():
            name = nodes.literal("", record.name)
            rows.append(
                [
                    self.link(PAGE, name, anchor=anchor(record.name)),
                    str(int(record.chapter.split("_")[0])),
                    record.run.facts["asks"],
                    minutes(record.cpu_s),
                    record.verdict(),
                ]
            )
        head = ["Experiment", "Chapter", "It asks", "CPU time", "Under other seeds"]
        return [self.numbered("tbl-runs", head, rows, SUMMARY)]


class RecordedRuns(RecordsDirective):
    """Every experiment in full, under its chapter."""

    def run(self):
        records = self.records()
        chapters = list(dict.fromkeys(record.chapter for record in records))
        return [
            nodes.section(
                "",
                nodes.title("", chapter_name(self.root, chapter)),
                *(self.entry(one) for one in records if one.chapter == chapter),
                ids=[f"runs-of-{chapter.replace('_', '-')}"],
            )
            for chapter in chapters
        ]

    def entry(self, record: Record) -> element:
        """Return one experiment."""
        file = f"experiments/{record.chapter}/{record.name}.py"
        return html(
            "article",
            html("h3", record.run.facts["asks"]),
            html("p", nodes.literal("", file), *self.readers(record)),
            *(self.trained(record) if record.trained else self.measured(record)),
            id=anchor(record.name),
            class_="recorded-run",
        )

    def readers(self, record: Record) -> Iterator[nodes.Node | str]:
        """Yield links to the notebooks that read the record."""
        yield ", read by notebook"
        yield "s " if len(record.readers) > 1 else " "
        for count, notebook in enumerate(record.readers):
            chapter, name = notebook.split("/")
            numbers = f"{int(chapter.split('_')[0])}/{name.split('_')[0]}"
            yield ", " if count else ""
            yield self.link(f"notebooks/{notebook}", numbers)
        yield "."

    def trained(self, record: Record) -> list[nodes.Node]:
        """Return budget and differences of models that were trained."""
        run, counts = record.run, record.run.baselines()
        lines = ", ".join(f"{name} {loss:.3f}" for name, loss in counts.items())
        base = run.losses(run.base)
        mean = sum(base.values()) / len(base)
        budget = (
            f"{run.budget()}. {run.base.capitalize()}: {mean:.3f} {run.unit}; on the "
            f"same targets: {lines}."
        )
        name = f"tbl-{anchor(record.name)}"
        caption = CAPTION.format(asks=run.facts["asks"], unit=record.unit or run.unit)
        rows = self.numbered(name, record.header(), record.rows(), caption)
        return [html("p", budget), rows]

    def measured(self, record: Record) -> list[nodes.Node]:
        """Return what a measurement of a trained model took."""
        results = record.run.facts["results"]
        what = [str(results[key]) for key in ("model", "precision") if key in results]
        line = "Measured on trained models, nothing trained"
        line += f": {', '.join(what)}" if what else ""
        return [html("p", f"{line}. {minutes(record.cpu_s)} of CPU time.")]


def setup(app):
    """Register the directives."""
    app.setup_extension("elements")
    app.add_directive("recorded-runs", RecordedRuns)
    app.add_directive("recorded-runs-summary", Summary)
    return {"version": "1", "parallel_read_safe": True}
