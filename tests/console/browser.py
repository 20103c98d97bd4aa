"""A browser that tells: every error, every broken policy and every serious finding of axe fails the test."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, Playwright, expect

SCREENSHOTS = Path(__file__).resolve().parents[2] / "console-screenshots"
# How long a person would wait before he asks himself whether anything happens.
_PATIENCE_MS = 15_000
# What a page shows in the end, however slow its machine; the default is a third of it, whatever a context says.
_SHOWN_MS = 15_000
# For what workers must do first, and for pages that wait before they ask again.
SLOW_MS = 30_000
# What the browser itself says of an answer that refuses, or does not come.
AWAY = ("Failed to load resource", "net::ERR")
# What the console puts between thousands.
THIN = "\u202f"
_SERIOUS = {"serious", "critical"}
expect.set_options(timeout=_SHOWN_MS)

_TELL_OF_POLICY = """
    addEventListener("securitypolicyviolation", (event) =>
        console.error(`policy: ${event.violatedDirective} ${event.blockedURI} ${event.sample}`));
"""

# An answer in parts, of which the page gets those up to the one that the test waits for, and the rest when it says so.
# As long, and as large: a book is verified in a moment here, and a page takes ten seconds of silence for a breach.
_HELD = """
    ([path, until]) => {
        const [fetched, timed, isIt] = [window.fetch, window.setTimeout, new RegExp(until)];
        const goOn = new Promise((resolve) => { window.letGo = resolve; });
        window.setTimeout = (act, ms, ...more) => timed(act, ms >= 10_000 ? 600_000 : ms, ...more);
        window.fetch = async (address, options) => {
            const answer = await fetched(address, options);
            if (!String(address).endsWith(path) || !answer.ok) return answer;
            let text = "", hasCome = false;
            const [decoder, encoder] = [new TextDecoder(), new TextEncoder()];
            const held = new TransformStream({
                async transform(chunk, following) {
                    text += decoder.decode(chunk, { stream: true });
                    const events = text.split("\\n\\n");
                    text = events.pop();
                    for (const event of events) {
                        if (hasCome) await goOn;
                        following.enqueue(encoder.encode(`${event}\\n\\n`));
                        hasCome ||= isIt.test(event);
                    }
                },
            });
            return new Response(answer.body.pipeThrough(held), { status: answer.status, headers: answer.headers });
        };
    }
"""


@contextmanager
def held_after(page: Page, path: str, event: str) -> Iterator[None]:
    """The page gets the stream at `path` up to an event that is like `event`, and the rest after the block."""
    page.evaluate(_HELD, [path, event])
    try:
        yield
    finally:
        page.evaluate("() => window.letGo()")


@dataclass(frozen=True)
class Look:
    """How somebody has his browser."""

    scheme: Literal["light", "dark"]
    width: int

    @property
    def name(self) -> str:
        """For files and for the names of tests."""
        return f"{self.scheme}-{'narrow' if self.width < 640 else 'wide'}"


LOOKS = [Look(scheme, width) for scheme in ("light", "dark") for width in (1280, 390)]
WIDE = LOOKS[0]


@dataclass
class Visit:
    """One person's visit: his page, and what went wrong on it. `expected` are the errors that he means to cause."""

    page: Page
    look: Look
    went_wrong: list[str] = field(default_factory=list)
    expected: list[str] = field(default_factory=list)

    def check_access(self) -> None:
        """What axe finds on the page as it is now."""
        found = Axe().run(self.page).response["violations"]
        serious = [
            f"{one['id']} ({one['impact']}): {[node['html'][:120] for node in one['nodes']][:3]}"
            for one in found
            if one["impact"] in _SERIOUS
        ]
        assert not serious, serious

    def keep(self, name: str) -> None:
        """A screenshot of the whole page, for people to look at."""
        SCREENSHOTS.mkdir(exist_ok=True)
        # Captured with the content that is there, not halfway into it.
        self.page.evaluate("() => document.fonts.ready")
        self.page.screenshot(path=SCREENSHOTS / f"{name}-{self.look.name}.png", full_page=True, animations="disabled")

    def has_no_sideways(self) -> None:
        """The page itself never scrolls sideways; wide tables do in their own place."""
        over = self.page.evaluate("() => document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert over <= 0, over


def launched(playwright: Playwright) -> Browser:
    """Debian's Chromium, or the one that `REMIT_TEST_CHROMIUM` names."""
    path = os.environ.get("REMIT_TEST_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        raise FileNotFoundError("no chromium here: apt-get install chromium, or name one by REMIT_TEST_CHROMIUM")
    # Root has no sandbox in Chromium; what is opened here is our own page on our own machine.
    return playwright.chromium.launch(executable_path=path, args=["--no-sandbox"] if os.geteuid() == 0 else [])


@contextmanager
def visit(browser: Browser, url: str, look: Look) -> Iterator[Visit]:
    """A fresh browser at the console; in the end nothing but what was expected may have gone wrong."""
    context = browser.new_context(
        base_url=url, color_scheme=look.scheme, viewport={"width": look.width, "height": 860}, reduced_motion="reduce"
    )
    context.set_default_timeout(_PATIENCE_MS)
    context.add_init_script(_TELL_OF_POLICY)
    page = context.new_page()
    made = Visit(page, look)
    page.on("console", lambda said: made.went_wrong.append(said.text) if said.type in {"error", "warning"} else None)
    page.on("pageerror", lambda error: made.went_wrong.append(str(error)))
    try:
        page.goto("/console")
        yield made
    finally:
        context.close()
    unexpected = [text for text in made.went_wrong if not any(known in text for known in made.expected)]
    assert not unexpected, unexpected
