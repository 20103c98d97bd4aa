"""The previous release: a commit that `deploy/previous-release` names, unpacked beside this checkout."""

from __future__ import annotations

import subprocess
import tarfile
from importlib.metadata import PackageNotFoundError, version
from io import BytesIO
from pathlib import Path

from deploy.local.layout import CHECKOUT

NAMED = CHECKOUT / "deploy" / "previous-release"
_GIT_TIMEOUT_S = 60


class NoPreviousRelease(Exception):
    """The checkout does not hold the commit; the message says what to do."""


def unpack(into: Path, checkout: Path = CHECKOUT) -> Path:
    """The previous release's files in `into`.

    Raises:
        NoPreviousRelease: this checkout has no history, or not that far.
    """
    commit = NAMED.read_text(encoding="utf-8").strip()
    # Not a `git worktree`: that would write into the repository, and stay there if this process is killed.
    done = _git(checkout, "archive", "--format=tar", commit)
    if done.returncode != 0:
        why = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
        raise NoPreviousRelease(
            f"the previous release, commit {commit[:12]} (deploy/previous-release), is not in this checkout: "
            f"{''.join(why)}. An upgrade is tested in a clone with its whole history; a shallow one gets it by "
            "`git fetch --unshallow`"
        )
    with tarfile.open(fileobj=BytesIO(done.stdout)) as archive:
        archive.extractall(into, filter="data")
    return into


def differing_libraries(release: Path) -> list[str]:
    """What the release was locked with and this environment has otherwise, in which it is run all the same."""
    lines = (release / "requirements/run.txt").read_text(encoding="utf-8").splitlines()
    pins = [line.split(" ", 1)[0].split(";")[0].partition("==") for line in lines if "==" in line.split("#")[0]]
    found = ((name, wanted, _installed(name)) for name, _, wanted in pins)
    return [f"{name} {wanted}, here {has}" for name, wanted, has in found if has not in {None, wanted}]


def _installed(name: str) -> str | None:
    """None: of no use on this system, or it would be here."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _git(checkout: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    # Also where the checkout is another user's, as one that is mounted into a container: it is only read.
    trusted = f"safe.directory={checkout.resolve()}"
    try:
        return subprocess.run(
            ("git", "-c", trusted, "-C", str(checkout), *arguments),  # noqa: S607 - the git that cloned the checkout
            capture_output=True,
            timeout=_GIT_TIMEOUT_S,
            check=False,
        )
    except FileNotFoundError:
        return subprocess.CompletedProcess(arguments, 127, b"", b"git is not installed")
