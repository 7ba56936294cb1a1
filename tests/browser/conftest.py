"""The built site, over http and from disk, and one browser that may load nothing else."""

import functools
import http.server
import os
import threading
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright

from .chromium import FLAGS, find
from .visit import Visit

ROOT = Path(__file__).resolve().parents[2]
SITE = Path(os.environ.get("SITE", ROOT / "_build" / "html"))
SHOTS = Path(__file__).parent / "shots"


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serve files without a line per request."""

    def log_message(self, *args):
        pass


@pytest.fixture(scope="session")
def served():
    """Serve the built site on a free port of this machine and return its address."""
    handler = functools.partial(Quiet, directory=SITE)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="session")
def chromium():
    """Start the machine's Chromium."""
    path = find()
    if path is None:
        pytest.fail("no Chromium found: install one (apt-get install chromium) or set CHROMIUM=/path/to/it")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium, served, request):
    """Return a function that opens a page (`http` or `file`, `light` or `dark`, a width) and watches it."""
    opened = []

    def open_page(page: str, *, over="http", scheme="light", width=1280) -> Visit:
        base = served if over == "http" else SITE.resolve().as_uri()
        opened.append(Visit(chromium, base, page, scheme=scheme, width=width))
        return opened[-1]

    yield open_page
    failed = getattr(request.node, "failed", False)
    for number, visited in enumerate(opened):
        if failed:
            SHOTS.mkdir(exist_ok=True)
            visited.tab.screenshot(path=SHOTS / f"{request.node.name.replace('/', '-')}-{number}.png")
        visited.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Tell the `visit` fixture that its test failed, so that it keeps a screenshot."""
    report = yield
    item.failed = getattr(item, "failed", False) or report.failed
    return report
