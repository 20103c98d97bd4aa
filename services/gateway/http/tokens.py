"""Access tokens: HS256 with one algorithm, audience and issuer. A checked signature is remembered until it expires."""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from uuid import UUID

import jwt
import msgspec

from services.gateway.errors import Unauthenticated
from shared.ids import random_id

_ALGORITHM = "HS256"
_ISSUER = "remit"
_AUDIENCE = "remit-api"
_KEY_ID = "1"
_REMEMBERED_MAX = 10_000
_LENGTH_MAX = 4_096
# A working day; then the password again.
SESSION_MAX_S = 12 * 3600
# Nothing of this is optional; what a token leaves out is no reason to believe it.
_JWT = jwt.PyJWT(options={"require": ["exp", "iat", "sub", "jti", "aud", "iss"]})


class Claims(msgspec.Struct, frozen=True, kw_only=True):
    """What a token says. Whether it still counts, the database says. Times are seconds since the epoch.

    `until` is the end of the browser's session that the token belongs to, None where it belongs to none: until then it
    can be renewed. All tokens of a session have one `jti`, so that they die together.
    """

    sub: UUID
    jti: UUID
    ver: int
    exp: int
    until: int | None = None

    @property
    def counts_until(self) -> int:
        """After this no token with this `jti` counts any more."""
        return self.exp if self.until is None else self.until


class Tokens:
    """Makes and reads tokens."""

    def __init__(self, secret: str, ttl_s: int) -> None:
        self._secret = secret
        self.ttl_s = ttl_s
        # By their digests: what is remembered is no token that anybody could use.
        self._remembered: OrderedDict[bytes, Claims] = OrderedDict()

    def make(self, user_id: UUID, token_version: int) -> str:
        """A token for this user."""
        now = int(time.time())
        return self._signed(Claims(sub=user_id, jti=random_id(), ver=token_version, exp=now + self.ttl_s), now)

    def begin_session(self, user_id: UUID, token_version: int) -> tuple[str, Claims]:
        """The first token of a session, and what it says."""
        until = int(time.time()) + SESSION_MAX_S
        return self.renewed(Claims(sub=user_id, jti=random_id(), ver=token_version, exp=0, until=until))

    def renewed(self, claims: Claims) -> tuple[str, Claims]:
        """The next token of a session, and what it says; it does not outlive the session."""
        now = int(time.time())
        following = msgspec.structs.replace(claims, exp=min(now + self.ttl_s, claims.counts_until))
        return self._signed(following, now), following

    def _signed(self, claims: Claims, now: int) -> str:
        said = {"iss": _ISSUER, "aud": _AUDIENCE, "iat": now, **msgspec.to_builtins(claims)}
        if claims.until is None:
            del said["until"]
        return jwt.encode(said, self._secret, algorithm=_ALGORITHM, headers={"kid": _KEY_ID})

    def read(self, authorization: str) -> Claims:
        """The claims of a bearer token.

        Raises:
            Unauthenticated: none, forged, expired, or not for this API.
        """
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer":
            raise Unauthenticated
        return self.claims(token.strip())

    def claims(self, token: str) -> Claims:
        """The claims of a token, wherever it stood.

        Raises:
            Unauthenticated: as `read`.
        """
        if not token or len(token) > _LENGTH_MAX:
            raise Unauthenticated
        digest = hashlib.sha256(token.encode()).digest()
        claims = self._remembered.get(digest)
        if claims is None:
            claims = self._verified(token)
            self._remember(digest, claims)
        if claims.exp <= time.time():
            self._remembered.pop(digest, None)
            raise Unauthenticated
        return claims

    def _verified(self, token: str) -> Claims:
        try:
            read = _JWT.decode_complete(
                token, self._secret, algorithms=[_ALGORITHM], audience=_AUDIENCE, issuer=_ISSUER
            )
            if read["header"].get("kid") != _KEY_ID:
                raise Unauthenticated
            return msgspec.convert(read["payload"], Claims)
        except (jwt.InvalidTokenError, msgspec.ValidationError):
            raise Unauthenticated from None

    def _remember(self, digest: bytes, claims: Claims) -> None:
        self._remembered[digest] = claims
        if len(self._remembered) > _REMEMBERED_MAX:
            self._remembered.popitem(last=False)
