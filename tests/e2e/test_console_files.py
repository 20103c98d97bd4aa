"""The console's files: small, kept by browsers while they are true, under a policy that lets nothing else in."""

from __future__ import annotations

import gzip
import re

import httpx
import pytest

from tests.support.bank import Bank

# Of the first view, as it goes over the wire; issue's bound is 200 KB, and it is meant to stay far below.
_FIRST_VIEW_BYTES_MAX = 60_000


def _addresses(page: str) -> list[str]:
    return re.findall(r'(?:src|href)="(/console/[^"]+)"', page)


def _policy(answer: httpx.Response) -> dict[str, list[str]]:
    rules = (rule.split() for rule in answer.headers["Content-Security-Policy"].split(";"))
    return {name: values for name, *values in rules}


@pytest.mark.parametrize("path", ["/console", "/console/"])
def test_the_page_lets_in_nothing_but_its_own_files(bank: Bank, path: str) -> None:
    answer = bank.client.get(path)
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    own = ("script-src", "style-src", "connect-src", "img-src", "form-action")
    none = ("default-src", "frame-ancestors", "base-uri", "trusted-types")
    assert _policy(answer) == {
        **{rule: ["'self'"] for rule in own},
        **{rule: ["'none'"] for rule in none},
        "require-trusted-types-for": ["'script'"],
    }
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert answer.headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert not re.search(r"<script>|<style|style=|\son\w+=|https?://", answer.text)


def _modules(bank: Bank) -> dict[str, str]:
    """Every file that the page leads to, by address."""
    found: dict[str, str] = {}
    waiting = _addresses(bank.client.get("/console").text)
    while waiting:
        address = waiting.pop()
        if address not in found:
            answer = bank.client.get(address)
            assert answer.status_code == 200, address
            found[address] = answer.text
            imported = re.findall(r'(?:from|import\()\s*"(\.[^"]+)"', answer.text)
            waiting += [str(httpx.URL(f"http://x{address}").join(path).path) for path in imported]
    return found


def test_no_script_makes_markup_or_code_of_text(bank: Bank) -> None:
    modules = _modules(bank)
    assert len(modules) > 10
    banned = (
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|srcdoc|https?://(?!www\.w3\.org)"
    )
    assert [address for address, text in modules.items() if re.search(banned, text)] == []


def test_files_are_kept_for_good_under_a_name_that_changes_with_them(bank: Bank) -> None:
    for address in _modules(bank):
        answer = bank.client.get(address)
        assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
    version = _addresses(bank.client.get("/console").text)[0].split("/")[2]
    other = bank.client.get(f"/console/{'0' * len(version)}/app.js")
    assert (other.status_code, other.headers["Cache-Control"]) == (200, "no-store")


def test_the_page_itself_is_asked_for_again_and_not_sent_again(bank: Bank) -> None:
    first = bank.client.get("/console")
    assert first.headers["Cache-Control"] == "no-cache"
    again = bank.client.get("/console", headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["Content-Security-Policy"] == first.headers["Content-Security-Policy"]


def test_the_first_view_is_small(bank: Bank) -> None:
    """The page and everything that it can lead to, compressed."""
    sizes = {}
    for address in ["/console", *_modules(bank)]:
        with bank.client.stream("GET", address, headers={"Accept-Encoding": "gzip"}) as answer:
            raw = b"".join(answer.iter_raw())
        assert answer.headers["Content-Encoding"] == "gzip"
        assert gzip.decompress(raw)
        sizes[address] = len(raw)
    assert sum(sizes.values()) < _FIRST_VIEW_BYTES_MAX, sizes


@pytest.mark.parametrize(
    "path",
    ["x/nothing.js", "x/index.html", "x/../assets.py", "x/%2e%2e/assets.py", "x/..%2f..%2fsettings.py", "x", "x/"],
)
def test_nothing_else_is_served(bank: Bank, path: str) -> None:
    assert bank.client.get(f"/console/{path}").status_code == 404


def test_it_is_only_read(bank: Bank) -> None:
    answer = bank.client.post("/console")
    assert (answer.status_code, answer.headers["Allow"]) == (405, "GET, HEAD")
    assert bank.client.head("/console").headers["Content-Type"] == "text/html; charset=utf-8"
