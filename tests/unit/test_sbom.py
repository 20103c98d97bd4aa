"""The bill of materials names every locked requirement, with its version and hashes."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[2]
_REQUIREMENT = re.compile(r"^([a-z0-9][\w.-]*)(?:\[[^\]]*\])?==([^\s;\\]+)", re.MULTILINE)


def _made(into: Path) -> str:
    command = ("sh", str(_ROOT / "deploy" / "sbom"), str(into))
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    return into.read_text(encoding="utf-8")


def test_what_the_image_is_made_of_is_written_whole_and_the_same_twice(tmp_path: Path) -> None:
    text = _made(tmp_path / "one.json")
    bill = json.loads(text)
    locked = set(_REQUIREMENT.findall((_ROOT / "requirements" / "run.txt").read_text(encoding="utf-8")))
    assert {(part["name"], part["version"]) for part in bill["components"]} == locked
    assert bill["metadata"]["component"]["name"] == "remit"
    hashes = [part["externalReferences"][0]["hashes"] for part in bill["components"]]
    assert all(hashes)
    assert _made(tmp_path / "two.json") == text
