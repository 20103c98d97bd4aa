"""`python -m tests.contracts COMMIT`: what the API promised at that commit, and whether it still does.

Exit code 1 where a client of then would break, unless the document bears another version now.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.contracts.differences import Node, differences

_ROOT = Path(__file__).resolve().parents[2]
_FILE = "docs/openapi.json"
_GIT_TIMEOUT_S = 30


def main(commit: str) -> int:
    """Says each difference, those that break first."""
    before = _at(commit)
    if before is None:
        print(f"there was no {_FILE} at {commit}")
        return 0
    now: Node = json.loads((_ROOT / _FILE).read_text(encoding="utf-8"))
    found = sorted(differences(before, now), key=lambda difference: not difference.breaks)
    for difference in found:
        print(difference)
    breaking = sum(difference.breaks for difference in found)
    was, is_ = (document["info"]["version"] for document in (before, now))
    print(f"{breaking} breaking, {len(found) - breaking} compatible since {commit} (version {was}, now {is_})")
    return 1 if breaking and was == is_ else 0


def _at(commit: str) -> Node | None:
    shown = subprocess.run(
        ("git", "show", f"{commit}:{_FILE}"),  # noqa: S607 - whichever git there is
        cwd=_ROOT,
        capture_output=True,
        timeout=_GIT_TIMEOUT_S,
        check=False,
    )
    if shown.returncode != 0:
        return None
    document: Node = json.loads(shown.stdout)
    return document


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else "HEAD"))
