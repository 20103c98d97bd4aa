"""`python -m services.gateway.export` writes docs/openapi.json: what the gateway serves; tests compare the two."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import httpx

from services.gateway.service.running import open_gateway
from services.gateway.settings import settings_from

FILE = Path(__file__).resolve().parents[2] / "docs" / "openapi.json"

# Nothing is asked of any server: the document is the code's. The secret signs nothing.
_NOWHERE = {
    "REMIT_POSTGRES_URL": "postgresql://remit:none@localhost:1/remit",
    "REMIT_REDIS_URL": "redis://localhost:1/0",
    "REMIT_AMQP_URL": "amqp://remit:none@localhost:1/",
    "REMIT_GATEWAY_JWT_SECRET": "-" * 32,
}


async def served() -> str:
    """The document as a gateway of this code serves it, laid out for people and for diffs."""
    async with open_gateway(settings_from(_NOWHERE), asyncio.Event()) as gateway:
        transport = httpx.ASGITransport(app=gateway.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
            answer = await client.get("/openapi.json")
    return laid_out(answer.raise_for_status().json())


def laid_out(document: object) -> str:
    """JSON with a line a member, in the order in which it is served."""
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    FILE.write_text(asyncio.run(served()), encoding="utf-8")
