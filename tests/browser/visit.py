"""One page opened in a browser, and all it asked for, failed at or complained about."""

from dataclasses import dataclass, field


@dataclass
class Seen:
    """What a page did while it was open."""

    external: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


class Visit:
    """A tab on one page of the site. Requests to anywhere else are recorded and blocked."""

    def __init__(self, browser, base: str, page: str, *, scheme: str, width: int):
        self.seen, self.base = Seen(), base
        self.context = browser.new_context(
            color_scheme=scheme, viewport={"width": width, "height": 900}, reduced_motion="reduce"
        )
        self.tab = self.context.new_page()
        self.tab.route("**/*", self._guard)
        self.tab.on("console", self._heard)
        self.tab.on("pageerror", lambda error: self.seen.errors.append(str(error)))
        self.tab.on("requestfailed", lambda request: self.seen.failed.append(request.url))
        self.tab.on("response", self._answered)
        self.tab.goto(f"{base}/{page}", wait_until="load")
        self.settle()

    def settle(self) -> None:
        """Wait until nothing is loading, the fonts are in, and MathJax has set every formula."""
        self.tab.wait_for_load_state("networkidle")
        self.tab.evaluate(
            "() => Promise.all([document.fonts.ready, window.MathJax?.startup?.promise ?? Promise.resolve()])"
            ".then(() => true)"
        )

    def problems(self) -> dict[str, list[str]]:
        """Return what must be empty: foreign requests, failed requests, console errors."""
        return {kind: found for kind, found in vars(self.seen).items() if found}

    def theme(self) -> str:
        """Return the colour scheme the page is drawn in."""
        return self.tab.evaluate("document.documentElement.dataset.theme")

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

    def _heard(self, message):
        if message.type == "error":
            self.seen.errors.append(message.text)

    def _answered(self, response):
        if response.status >= 400:
            self.seen.failed.append(f"{response.status} {response.url}")
