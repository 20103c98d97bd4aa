"""Pages of the documentation, word for word: their examples run, in order, and print what the page says.

A fenced block of `python` or `sh` is an example; a `text` block behind it is what it prints, in which `…` stands for
what differs from run to run. A page's examples in one language are one program.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"

_FENCED = re.compile(r"^```(?P<language>\w+)\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE)
_MARK = "--- next example ---"
_TIMEOUT_S = 60.0
_RUN: Mapping[str, Sequence[str]] = {"python": (sys.executable, "-W", "error"), "sh": ("bash", "-eu", "-o", "pipefail")}
_SAY: Mapping[str, str] = {"python": f"print({_MARK!r})", "sh": f"echo '{_MARK}'"}


@dataclass(frozen=True, kw_only=True)
class Example:
    """What one example printed, and what the page says that it prints."""

    printed: str
    said: str

    @property
    def holds(self) -> bool:
        """Whether they agree."""
        pattern = ".*".join(re.escape(part) for part in self.said.split("…"))
        return re.fullmatch(pattern, self.printed) is not None


def run(page: str, language: str, env: Mapping[str, str], folder: Path) -> list[Example]:
    """The examples of a page in one language, run in `folder`, where `.local/env` tells what `make up` would."""
    text, said = _program((DOCS / page).read_text(), language)
    program = folder / f"{page}.{language}"
    program.write_text(text)
    (folder / ".local").mkdir(exist_ok=True)
    (folder / ".local" / "env").write_text("".join(f"{name}='{value}'\n" for name, value in env.items()))
    done = subprocess.run(
        [*_RUN[language], str(program)],
        env={**env, "PYTHONPATH": str(DOCS.parent)},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    printed = done.stdout.split(f"{_MARK}\n")[:-1]
    assert len(printed) == len(said)
    return [Example(printed=one, said=other) for one, other in zip(printed, said, strict=True)]


def _program(page: str, language: str) -> tuple[str, list[str]]:
    """The examples as one program, each on its own lines of the page, and what each is said to print."""
    lines = [""] * page.count("\n")
    said: list[str] = []
    before = ""
    for block in _FENCED.finditer(page):
        if block["language"] == "text":
            if before == language:
                said[-1] = block["text"]
        elif block["language"] == language:
            begin = page.count("\n", 0, block.start()) + 1
            code = block["text"].splitlines()
            lines[begin : begin + len(code)] = code
            lines[begin + len(code)] = _SAY[language]
            said.append("")
        before = block["language"]
    return "\n".join(lines), said
