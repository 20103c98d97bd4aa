"""Small disks of one's own, to be filled to the last byte."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from deploy.local.stack import Stack
from deploy.local.testing import temporary_stack

needs_a_small_disk = pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small disk")


@contextmanager
def small_disk(folder: Path, *, mib: int) -> Iterator[None]:
    """A disk of so many MiB at `folder`, which must not exist yet; where we may not mount, nothing."""
    if may_mount := os.geteuid() == 0:
        folder.mkdir(parents=True)
        subprocess.run(["/bin/mount", "-t", "tmpfs", "-o", f"size={mib}m", "tmpfs", folder], check=True)
    try:
        yield
    finally:
        if may_mount:
            subprocess.run(["/bin/umount", "--lazy", folder], check=True)


@contextmanager
def stack_on_small_disk(server: str, *, mib: int, settings: Mapping[str, str]) -> Iterator[Stack]:
    """Everything running, one server on a small disk of its own."""
    with (
        temporary_stack(durable=True, settings=settings) as stack,
        small_disk(stack.layout.home(server), mib=mib),
    ):
        try:
            stack.start_servers()
            stack.migrate()
            stack.start_services()
            yield stack
        finally:
            # Before its disk goes.
            stack.kill()


@contextmanager
def filled(folder: Path, *, but_mib: int = 0) -> Iterator[None]:
    """No room left, `but_mib` MiB at most, on the disk of `folder` while the block runs."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (1 << 20, 1 << 12):
            with suppress(OSError):
                while shutil.disk_usage(folder).free > but_mib << 20 and file.write(b"\0" * size) == size:
                    continue
    try:
        yield
    finally:
        filler.unlink()
