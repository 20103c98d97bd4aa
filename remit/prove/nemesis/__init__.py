"""Every fault of the campaign, by name."""

from __future__ import annotations

from remit.prove.nemesis import broker, messages, postgres, processes, redis
from remit.prove.nemesis.base import Nemesis

NEMESES = {nemesis.name: nemesis for room in (processes, broker, redis, postgres, messages) for nemesis in room.NEMESES}

__all__ = ["NEMESES", "Nemesis"]
