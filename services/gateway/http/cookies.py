"""A browser's session: a cookie that no script reads, and that counts only where a page of this gateway asks.

A browser sends cookies whoever made it ask. So a cookie alone authenticates nobody: the request must also carry what
only a page of the same origin can make a browser send (docs/console.md has it as a contract).
"""

from __future__ import annotations

from starlette.requests import Request

from services.gateway.errors import Unauthenticated
from services.gateway.http.addresses import parsed, without_port

# Over https browsers take a cookie of this name only if it is `Secure`, so that nobody plants one over plain http.
SECURE_NAME = "__Secure-remit_session"
# Over plain http on this machine, where no name with that prefix is taken.
LOOPBACK_NAME = "remit_session"
# Another origin's page can send it only after asking leave, which nobody gives here.
CONSOLE_HEADER = "X-Remit-Console"

# All calls, and nothing else: neither documents nor metrics see it.
_PATH = "/api/v1"
_SAFE = frozenset({"GET", "HEAD"})


def has_session(request: Request) -> bool:
    """Whether the browser sent a session's cookie, whatever it is worth."""
    return bool(_sent(request))


def session_token(request: Request) -> str:
    """The token in the session's cookie.

    Raises:
        Unauthenticated: there is none, or not exactly one, or nothing shows that a page of this gateway asks.
    """
    tokens = _sent(request)
    if len(tokens) != 1:
        raise Unauthenticated
    check_page(request)
    return tokens[0]


def check_page(request: Request) -> None:
    """Sees that a page of this gateway asks; whatever cannot be told apart from another page is refused.

    Raises:
        Unauthenticated: it cannot be seen.
    """
    headers = request.headers
    origins, host = headers.getlist("origin"), headers.get("host", "")
    is_of_page = (
        headers.getlist(CONSOLE_HEADER) == ["1"]
        and headers.getlist("sec-fetch-site") == ["same-origin"]
        # What changes something always has its origin; what reads has it where the browser sends it.
        and (origins in ([f"http://{host}"], [f"https://{host}"]) or (not origins and request.method in _SAFE))
    )
    if not is_of_page:
        raise Unauthenticated("Only a page of this gateway may use its session.")


def kept(request: Request, token: str, *, max_age_s: int) -> str:
    """The header `Set-Cookie` that keeps a session; with no token and no age the one that ends it.

    Raises:
        Unauthenticated: the page came over plain http from another machine; no session travels that way.
    """
    # As the browser has it: behind a proxy the gateway itself does not see whether there is TLS.
    scheme, _, host = request.headers.get("origin", "").partition("://")
    attributes = f"Path={_PATH}; Max-Age={max_age_s}; HttpOnly; SameSite=Strict"
    if scheme == "https":
        return f"{SECURE_NAME}={token}; {attributes}; Secure"
    if not _is_loopback(host):
        raise Unauthenticated("The console wants https, except on the machine on which the gateway runs.")
    return f"{LOOPBACK_NAME}={token}; {attributes}"


def _sent(request: Request) -> list[str]:
    named = [pair.strip().partition("=") for line in request.headers.getlist("cookie") for pair in line.split(";")]
    names = {SECURE_NAME, LOOPBACK_NAME} if _is_loopback(request.headers.get("host", "")) else {SECURE_NAME}
    return [value for name, _, value in named if name in names]


def _is_loopback(host: str) -> bool:
    name = without_port(host)
    address = parsed(name)
    return name == "localhost" if address is None else address.is_loopback
