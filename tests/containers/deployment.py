"""The Remit that runs in containers, as its operator sees it: scaled, restarted, and its processes killed."""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from remit.environment import read_assignments
from tests.support.metrics import Scrape

ROOT = Path(__file__).resolve().parents[2]
SERVICES = ("fraud", "transfer", "ledger", "audit", "gateway")
# What the issue of scaling asks for, and what a deployment is left with.
SCALED: Mapping[str, int] = {"transfer": 3, "fraud": 2, "ledger": 2, "audit": 2, "gateway": 2}
SINGLE: Mapping[str, int] = dict.fromkeys(SERVICES, 1)

_COMMAND_TIMEOUT_S = 150.0
_HEALTHY_WITHIN_S = 60.0
_POLL_S = 0.2

# Run in a container, by its only interpreter: the service's process gets SIGKILL, as from a kernel without memory.
# Process 1 is its parent, Docker's init; it bears the same arguments, and cannot be killed from within.
_KILL = """
import os, pathlib, signal
for entry in pathlib.Path("/proc").iterdir():
    if entry.name.isdigit() and entry.name != "1" and b"\\0services." in (entry / "cmdline").read_bytes():
        os.kill(int(entry.name), signal.SIGKILL)
        break
else:
    raise SystemExit("no process of a service")
"""
_METRICS = "import urllib.request as r; print(r.urlopen('http://127.0.0.1:8080/metrics', timeout=5).read().decode())"


class Refused(Exception):
    """A command ended otherwise than it should; the message holds its last lines."""


async def output_of(
    *command: str,
    env: Mapping[str, str] | None = None,
    well: Sequence[int] = (0,),
    timeout_s: float = _COMMAND_TIMEOUT_S,
) -> str:
    """What a command prints on standard output.

    Raises:
        Refused: its exit code is none of `well`, or it did not end in time.
    """
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=ROOT,
        env={**os.environ, **(env or {})},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(timeout_s):
            out, err = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        raise Refused(f"{command}: not within {timeout_s:.0f} s") from None
    if process.returncode not in well:
        raise Refused(f"{command}: exit code {process.returncode}\n{(out + err).decode()[-3000:]}")
    return out.decode()


class Deployment:
    """One running compose project. `settings` are what its services were given besides their defaults."""

    def __init__(self, project: str, url: str, secrets: Mapping[str, str]) -> None:
        self.project = project
        self.url = url
        self.secrets = secrets
        self.settings: Mapping[str, str] = {}
        self.scale_now: Mapping[str, int] = SINGLE

    @classmethod
    async def find(cls) -> Deployment | None:
        """The one that belongs to this checkout, if it runs."""
        secrets = ROOT / ".env"
        if not secrets.is_file() or shutil.which("docker") is None:
            return None
        try:
            address = (await output_of(*await _compose(), "port", "haproxy", "8080")).strip()
            (proxy,) = (await output_of(*await _compose(), "ps", "--quiet", "haproxy")).split()
        except (Refused, ValueError):
            return None
        label = '{{index .Config.Labels "com.docker.compose.project"}}'
        project = (await output_of("docker", "inspect", "--format", label, proxy)).strip()
        return cls(project, f"http://{address}", read_assignments(secrets.read_text(encoding="utf-8")))

    async def up(self, **settings: str) -> None:
        """Everything at one, with these settings and otherwise the defaults; what differs is recreated."""
        self.settings = settings
        await self._run("up")
        self.scale_now = SINGLE

    async def down(self) -> None:
        """Every container is removed; the volumes stay."""
        await self._run("down")

    async def scale(self, counts: Mapping[str, int]) -> None:
        """So many of each; returns when all of them are ready."""
        self.scale_now = {**self.scale_now, **counts}
        await self._run("scale", *(f"{service}={count}" for service, count in counts.items()))

    async def verify(self) -> None:
        """`remit verify` over the whole book, once what is on its way has arrived.

        Raises:
            Refused: an invariant does not hold, or the rest did not arrive in time.
        """
        await self._run("run", "verify", "--wait-s", "60")

    async def address(self, service: str, port: int) -> str:
        """Where a published port of a service is met from this machine."""
        return (await output_of(*await _compose(), "port", service, str(port))).strip()

    async def containers(self, service: str) -> list[str]:
        """The running containers of a service."""
        filters = [f"label=com.docker.compose.project={self.project}", f"label=com.docker.compose.service={service}"]
        # One-off containers bear the label of their service, too.
        filters.append("label=com.docker.compose.oneoff=False")
        asked = [argument for one in filters for argument in ("--filter", one)]
        return (await output_of("docker", "ps", "--quiet", *asked)).split()

    async def restart(self, container: str) -> None:
        """Stops one container as the compose file says, starts it, and waits until it is ready."""
        await output_of("docker", "restart", "--time", "45", container)
        await self.healthy(container)

    async def kill(self, container: str) -> None:
        """Kills the service's process inside; Docker is to start it again, and it is to become ready."""
        before = await self._restarts(container)
        # 137: the container may be gone before the command in it has ended.
        await output_of("docker", "exec", container, "python", "-IS", "-c", _KILL, well=(0, 137))
        deadline_s = time.monotonic() + _HEALTHY_WITHIN_S
        while await self._restarts(container) == before:
            assert time.monotonic() < deadline_s, f"{container} was not started again"
            await asyncio.sleep(_POLL_S)
        await self.healthy(container)

    async def healthy(self, container: str) -> None:
        """Waits until Docker says so."""
        deadline_s = time.monotonic() + _HEALTHY_WITHIN_S
        while (state := await self._inspect(container, "{{.State.Health.Status}}")) != "healthy":
            assert time.monotonic() < deadline_s, f"{container} is {state}"
            await asyncio.sleep(_POLL_S)

    async def metrics(self, container: str) -> Scrape:
        """What the service in a container says of itself."""
        return Scrape(await output_of("docker", "exec", container, "python", "-IS", "-c", _METRICS))

    async def _restarts(self, container: str) -> int:
        return int(await self._inspect(container, "{{.RestartCount}}"))

    async def _inspect(self, container: str, what: str) -> str:
        return (await output_of("docker", "inspect", "--format", what, container)).strip()

    async def _run(self, *arguments: str) -> None:
        await output_of("sh", "deploy/compose", *arguments, env=self.settings)


async def _compose() -> list[str]:
    try:
        await output_of("docker", "compose", "version")
    except Refused:
        return ["docker-compose"]
    return ["docker", "compose"]
