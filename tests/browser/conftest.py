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


@pytest.fixture(scope="module")
def chromium():
    """Start the machine's Chromium."""
    path = find()
    if path is None:
        pytest.fail("no Chromium found: install one (apt-get install chromium) or set CHROMIUM=/path/to/it")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def browse(chromium, served):
    """Return a function that opens a page (over `http` or from a `file`) in a tab that is watched."""

    def open_page(page: str, *, over="http", scheme="light") -> Visit:
        return Visit(chromium, served if over == "http" else SITE.resolve().as_uri(), page, scheme)

    return open_page


@pytest.fixture(scope="module")
def opened(browse, request):
    """Open each page once, over http; tests of it set the colours and the width they need."""
    visited = browse(request.param)
    yield visited
    visited.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Keep a picture of the page a test failed on."""
    report = yield
    page = getattr(item, "funcargs", {}).get("opened")
    if report.failed and page:
        SHOTS.mkdir(exist_ok=True)
        page.tab.screenshot(path=SHOTS / f"{item.name.replace('/', '-')}.png", full_page=True)
    return report
