"""A pytest plugin: the slowest files start first, and a run ends by printing its CPU minutes by chapter
beside the share that each may take (ARCHITECTURE.md, *Tests and time*).

A report, not a test: shared machines are noisy. Each phase of a test carries the CPU seconds of this process
and of the children it has waited for (kernels, browsers, node); the controller of pytest-xdist adds them up.
`--durations-into FILE` writes the seconds of each file, which order the next run: tests/durations.json.
"""

import json
import os
import re
from collections import Counter
from pathlib import Path

import pytest

DURATIONS = Path(__file__).parent / "durations.json"
SHARES = {
    "chapters 0 to 3": 24.0,
    **{f"chapter {number}": 6.0 for number in range(4, 11)},
    "platform": 14.0,
    "browser and the book": 10.0,
    "real models, servers, processes": 5.0,
}
"""CPU minutes that a whole run may take, on two idle cores."""
AREAS = (
    (r"tests/browser/", "browser and the book"),
    (
        r"tests/real/|tests/parity/test_(?:(?:tensor|expert)_par|state_line|ring_att)",
        "real models, servers, processes",
    ),
    (r"(?:notebooks|labs/source|labs)/(?P<chapter>\d\d)", None),
    (r"tests/[a-z]+/test_problems_(?P<chapter>\d\d)", None),
    (r"course_lib/course/labs/lab(?P<chapter>\d\d)", None),
    (r"tests/repo/|course_lib/course/", "platform"),
    (r"tests/(?:unit|properties)/test_(?:cards|calculator|cli|computed_cards|curves|ledger)", "platform"),
    (
        r"tests/unit/test_(?:plotting|pysource|runtime|tables|timing|translator|values|gpu_check|minutes)",
        "platform",
    ),
)
"""Which area a file belongs to, by the first pattern its path begins with; the rest is of chapters 0 to 3."""
LATER = {
    "tests/parity/test_compressed_attention.py": 6,
    "tests/parity/test_conditional_memory.py": 4,
    "tests/parity/test_graphs_and_spikes.py": 9,
    "tests/parity/test_hybrids.py": 9,
    "tests/parity/test_indexed_attention.py": 6,
    "tests/parity/test_moe.py": 4,
    "tests/parity/test_moe_checkpoints.py": 4,
    "tests/parity/test_moe_layers.py": 4,
    "tests/parity/test_moe_losses.py": 4,
    "tests/parity/test_mtp.py": 4,
    "tests/parity/test_naive_forms.py": 5,
    "tests/parity/test_novel_layers.py": 9,
    "tests/parity/test_recurrent_layers.py": 5,
    "tests/parity/test_recurrent_models.py": 5,
    "tests/parity/test_sparse_attention.py": 6,
    "tests/parity/test_switch.py": 4,
    "tests/parity/test_xlstm.py": 5,
    "tests/properties/test_chunked_cross_properties.py": 9,
    "tests/properties/test_moe_properties.py": 4,
    "tests/properties/test_novel_properties.py": 9,
    "tests/properties/test_recurrent_properties.py": 5,
    "tests/unit/test_attention_variants.py": 4,
    "tests/unit/test_back_ends.py": 9,
    "tests/unit/test_balance.py": 4,
    "tests/unit/test_block_selection.py": 6,
    "tests/unit/test_block_sparse.py": 6,
    "tests/unit/test_compressed.py": 6,
    "tests/unit/test_conditional_memory.py": 4,
    "tests/unit/test_costs_experts.py": 4,
    "tests/unit/test_costs_novel.py": 9,
    "tests/unit/test_experts.py": 4,
    "tests/unit/test_hierarchical.py": 6,
    "tests/unit/test_indexer.py": 6,
    "tests/unit/test_moe.py": 4,
    "tests/unit/test_moe_records.py": 4,
    "tests/unit/test_mtp.py": 4,
    "tests/unit/test_other_routers.py": 4,
    "tests/unit/test_pictures_moe.py": 4,
    "tests/unit/test_pictures_novel.py": 9,
    "tests/unit/test_pointers_and_facts.py": 9,
    "tests/unit/test_recurrent.py": 5,
    "tests/unit/test_recurrent_models.py": 5,
    "tests/unit/test_retrieval.py": 9,
    "tests/unit/test_router.py": 4,
    "tests/unit/test_routing_audit.py": 4,
    "tests/unit/test_search.py": 9,
    "tests/unit/test_self_speculation.py": 4,
    "tests/unit/test_simulate_experts.py": 4,
    "tests/unit/test_sink_cache.py": 6,
    "tests/unit/test_sliding_window.py": 6,
    "tests/unit/test_sparse_mixer.py": 4,
    "tests/unit/test_sparse_patterns.py": 6,
    "tests/unit/test_specialisation.py": 4,
}
"""Files of tests/unit, properties and parity that belong to a later chapter: path -> its number."""
KEY = "cpu_s"


def area(file: str) -> str:
    """Return the area of a file of tests, a notebook or a module.

    >>> area("notebooks/03_kv_cache/01_why_cache.ipynb"), area("notebooks/05_states/01_scan.ipynb")
    ('chapters 0 to 3', 'chapter 5')
    >>> area("tests/repo/test_files.py"), area("tests/parity/test_llama.py")
    ('platform', 'chapters 0 to 3')
    """
    chapter = LATER.get(file, 0)
    for pattern, found in AREAS:
        if match := re.match(pattern, file):
            if found:
                return found
            chapter = int(match["chapter"])
            break
    return f"chapter {chapter}" if chapter > 3 else "chapters 0 to 3"


def slowest_first(items: list, seconds: dict[str, float]) -> list:
    """Return tests by the seconds of their file, most first; a file without a figure counts as average.

    Files that take the same keep their order, and so do the tests of one file.
    """
    average = sum(seconds.values()) / len(seconds) if seconds else 0.0
    places = {}
    for item in items:
        places.setdefault(file_of(item.nodeid), len(places))

    def rank(item) -> tuple[float, int]:
        file = file_of(item.nodeid)
        return -seconds.get(file, average), places[file]

    return sorted(items, key=rank)


def file_of(nodeid: str) -> str:
    """Return the file of a test."""
    return nodeid.split("::")[0]


def table(cpu_s: dict[str, float]) -> list[str]:
    """Return the lines of the report: an area, its CPU minutes, its share."""
    minutes = Counter()
    for file, seconds in cpu_s.items():
        minutes[area(file)] += seconds / 60
    rows = [(name, minutes[name], share) for name, share in SHARES.items() if name in minutes]
    rows.append(("all of these", minutes.total(), sum(share for _, _, share in rows)))
    return [f"{name:34s}{spent:8.2f}{share:8.1f}" for name, spent, share in rows]


class Minutes:
    """What one process of a run notes; the controller has the figures of all."""

    def __init__(self, config):
        self.config = config
        self.mark = self.spent()
        self.cpu_s, self.wall_s = Counter(), Counter()

    @staticmethod
    def spent() -> float:
        """CPU seconds of this process and of the children that ended."""
        return sum(os.times()[:4])

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items):
        seconds = json.loads(DURATIONS.read_text(encoding="utf-8")) if DURATIONS.exists() else {}
        items[:] = slowest_first(items, seconds)

    def pytest_runtestloop(self):
        self.mark = self.spent()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self):
        report = yield
        now = self.spent()
        report.user_properties.append((KEY, now - self.mark))
        self.mark = now
        return report

    def pytest_runtest_logreport(self, report):
        file = file_of(report.nodeid)
        self.wall_s[file] += report.duration
        self.cpu_s[file] += dict(report.user_properties).get(KEY, 0.0)

    def pytest_terminal_summary(self, terminalreporter):
        if not self.cpu_s:
            return
        terminalreporter.section("CPU minutes by chapter, beside the share of a whole run", sep="-")
        for line in table(self.cpu_s):
            terminalreporter.write_line(line)
        into = self.config.getoption("--durations-into")
        if into:
            rounded = {file: round(seconds, 1) for file, seconds in sorted(self.wall_s.items())}
            kept = {file: seconds for file, seconds in rounded.items() if seconds >= 1}
            into.parent.mkdir(parents=True, exist_ok=True)
            into.write_text(json.dumps(kept, indent=0) + "\n", encoding="utf-8")


def pytest_addoption(parser):
    parser.addoption(
        "--durations-into", type=Path, metavar="FILE", help="write the seconds of each file there"
    )


def pytest_configure(config):
    config.pluginmanager.register(Minutes(config), "course-minutes")
