"""One page opened in a browser, and all it asked for, failed at or complained about."""

import time
from dataclasses import dataclass, field

DESK, PHONE = 1280, 390
QUIET_S, PATIENCE_S = 0.3, 30.0


@dataclass
class Seen:
    """What a page did while it was open."""

    external: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


class Visit:
    """A tab on one page of the site. Requests to anywhere else are recorded and blocked."""

    def __init__(self, browser, base: str, page: str, scheme: str):
        self.seen, self.base, self.page, self.loading = Seen(), base, page, set()
        self.context = browser.new_context(
            color_scheme=scheme, viewport={"width": DESK, "height": 900}, reduced_motion="reduce"
        )
        self.tab = self.context.new_page()
        self.tab.route("**/*", self._guard)
        self.tab.on("console", self._heard)
        self.tab.on("pageerror", lambda error: self.seen.errors.append(str(error)))
        self.tab.on("request", self._asked)
        self.tab.on("requestfinished", self._came)
        self.tab.on("requestfailed", self._failed)
        self.tab.on("response", self._answered)
        self.tab.goto(f"{base}/{page}", wait_until="load")
        self.settle()

    def show(self, scheme: str = "light", width: int = DESK) -> "Visit":
        """Show the page as a reader with these colours and this width sees it."""
        self.tab.emulate_media(color_scheme=scheme)
        self.tab.set_viewport_size({"width": width, "height": 900})
        self.tab.wait_for_function("theme => document.documentElement.dataset.theme === theme", arg=scheme)
        self.tab.evaluate(
            "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
        )
        return self

    def settle(self) -> None:
        """Wait until nothing is loading, the fonts are in, and MathJax has set every formula."""
        start = quiet_since = time.monotonic()
        while time.monotonic() - quiet_since < QUIET_S:
            self.tab.wait_for_timeout(50)
            if self.loading:
                quiet_since = time.monotonic()
            if time.monotonic() - start > PATIENCE_S:
                raise AssertionError(f"still loading: {sorted(one.url[:200] for one in self.loading)}")
        self.tab.evaluate(
            "() => Promise.all([document.fonts.ready, window.MathJax?.startup?.promise ?? Promise.resolve()])"
            ".then(() => true)"
        )

    def problems(self) -> dict[str, list[str]]:
        """Return what must be empty: foreign requests, failed requests, console errors."""
        return {kind: found for kind, found in vars(self.seen).items() if found}

    def count(self, selector: str) -> int:
        """Return how many elements of the page a CSS selector finds."""
        return self.tab.locator(selector).count()

    def close(self) -> None:
        self.context.close()

    def _guard(self, route):
        url = route.request.url
        if url.startswith((self.base, "data:", "blob:")):
            route.continue_()
        else:
            self.seen.external.append(url)
            route.abort()

    def _asked(self, request):
        self.loading.add(request)

    def _came(self, request):
        self.loading.discard(request)

    def _failed(self, request):
        self.loading.discard(request)
        self.seen.failed.append(request.url)

    def _heard(self, message):
        if message.type == "error":
            self.seen.errors.append(message.text)

    def _answered(self, response):
        if response.status >= 400:
            self.seen.failed.append(f"{response.status} {response.url}")
