"""The console's files, read once: named by what they all hold, compressed, under a policy that lets nothing else in."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

_STATIC = Path(__file__).with_name("static")
_SHELL = "index.html"
_MEDIA = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
# The shell names its files below this place, which becomes the digest of them all.
_VERSION_PLACE = b"/console/version/"

# Nothing but our own files, and no text that becomes code or markup on its way into the page.
_POLICY = (
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "connect-src 'self'",
    "img-src 'self'",
    "form-action 'self'",
    "frame-ancestors 'none'",
    "base-uri 'none'",
    "require-trusted-types-for 'script'",
    "trusted-types 'none'",
)
_HEADERS = {
    "Content-Security-Policy": "; ".join(_POLICY),
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Vary": "Accept-Encoding",
}
_FOREVER = "public, max-age=31536000, immutable"


@dataclass(frozen=True)
class Asset:
    """A file in both forms in which it is sent."""

    media: str
    plain: bytes
    packed: bytes


def console_routes() -> Sequence[Route]:
    """The page, and what it is made of. They hold no figures: those are the API's, for whoever may see them."""
    assets, version = _read()
    page = assets[_SHELL]

    async def shell(request: Request) -> Response:
        return _kept(request, page, version)

    async def asset(request: Request) -> Response:
        found = assets.get(request.path_params["path"])
        if found is None or found is page:
            raise HTTPException(404)
        # While gateways of two versions stand behind one address, a page may ask the other one for its files.
        caching = _FOREVER if request.path_params["version"] == version else "no-store"
        return _sent(request, found, {"Cache-Control": caching})

    return [
        Route("/console", shell),
        Route("/console/", shell),
        Route("/console/{version}/{path:path}", asset),
    ]


def _read() -> tuple[Mapping[str, Asset], str]:
    files = {str(path.relative_to(_STATIC)): path.read_bytes() for path in sorted(_STATIC.rglob("*.*"))}
    version = hashlib.sha256(b"".join(name.encode() + b"\0" + files[name] for name in files)).hexdigest()[:16]
    files[_SHELL] = files[_SHELL].replace(_VERSION_PLACE, f"/console/{version}/".encode())
    return {name: _asset(name, content) for name, content in files.items()}, version


def _asset(name: str, content: bytes) -> Asset:
    return Asset(media=_MEDIA[Path(name).suffix], plain=content, packed=gzip.compress(content, 9, mtime=0))


def _kept(request: Request, page: Asset, version: str) -> Response:
    headers = {"Cache-Control": "no-cache", "ETag": f'W/"{version}"'}
    if request.headers.get("if-none-match") == headers["ETag"]:
        return Response(status_code=304, headers={**_HEADERS, **headers})
    return _sent(request, page, headers)


def _sent(request: Request, asset: Asset, headers: Mapping[str, str]) -> Response:
    takes_packed = "gzip" in request.headers.get("accept-encoding", "")
    encoding = {"Content-Encoding": "gzip"} if takes_packed else {}
    content = asset.packed if takes_packed else asset.plain
    return Response(content, headers={**_HEADERS, **headers, **encoding, "Content-Type": asset.media})
