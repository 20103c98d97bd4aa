"""Links between the pages of this repository lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

_ROOT = Path(__file__).parents[2]
_LINK = re.compile(r"\]\((?!https?://|mailto:)(?P<path>[^)#\s]*)(?:#(?P<anchor>[^)\s]+))?\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_FENCE = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)


def pages() -> list[Path]:
    folders = [path for path in _ROOT.iterdir() if path.is_dir() and not path.name.startswith(".")]
    return [*_ROOT.glob("*.md"), *(page for folder in folders for page in folder.rglob("*.md"))]


def anchors(page: Path) -> set[str]:
    """Those of its headings, as GitHub makes them."""
    kept = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in _HEADING.findall(_FENCE.sub("", page.read_text())))
    return {text.strip().replace(" ", "-") for text in kept}


def broken(page: Path) -> list[str]:
    found = []
    for link in _LINK.finditer(_FENCE.sub("", page.read_text())):
        target = page if not link["path"] else (page.parent / link["path"]).resolve()
        is_there = target.exists() and (not link["anchor"] or link["anchor"] in anchors(target))
        found += [] if is_there else [f"{page.relative_to(_ROOT)}: {link[0][2:-1]}"]
    return found


def test_every_link_of_every_page_leads_somewhere() -> None:
    """To a file or a folder, and to a heading where it names one."""
    found = pages()
    assert len(found) > 30
    assert [each for page in found for each in broken(page)] == []
