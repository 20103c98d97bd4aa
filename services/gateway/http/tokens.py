"""Access tokens: HS256 with one algorithm, audience and issuer. A checked signature is remembered until it expires."""

from __future__ import annotations

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


class Claims(msgspec.Struct, frozen=True, kw_only=True):
    """What a token says. Whether it still counts, the database says. `exp` is seconds since the epoch."""

    sub: UUID
    jti: UUID
    ver: int
    exp: int


class Tokens:
    """Makes and reads tokens."""

    def __init__(self, secret: str, ttl_s: int) -> None:
        self._secret = secret
        self.ttl_s = ttl_s
        self._remembered: OrderedDict[str, Claims] = OrderedDict()

    def make(self, user_id: UUID, token_version: int) -> str:
        """A token for this user."""
        now = int(time.time())
        claims = {
            "iss": _ISSUER,
            "aud": _AUDIENCE,
            "sub": str(user_id),
            "jti": str(random_id()),
            "ver": token_version,
            "iat": now,
            "exp": now + self.ttl_s,
        }
        return jwt.encode(claims, self._secret, algorithm=_ALGORITHM, headers={"kid": _KEY_ID})

    def read(self, authorization: str) -> Claims:
        """The claims of a bearer token.

        Raises:
            Unauthenticated: none, forged, expired, or not for this API.
        """
        scheme, _, token = authorization.partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token or len(token) > _LENGTH_MAX:
            raise Unauthenticated
        claims = self._remembered.get(token)
        if claims is None:
            claims = self._verified(token)
            self._remember(token, claims)
        if claims.exp <= time.time():
            self._remembered.pop(token, None)
            raise Unauthenticated
        return claims

    def _verified(self, token: str) -> Claims:
        try:
            if jwt.get_unverified_header(token).get("kid") != _KEY_ID:
                raise Unauthenticated
            payload = jwt.decode(
                token,
                self._secret,
                algorithms=[_ALGORITHM],
                audience=_AUDIENCE,
                issuer=_ISSUER,
                options={"require": ["exp", "iat", "sub", "jti", "aud", "iss"]},
            )
            return msgspec.convert(payload, Claims)
        except (jwt.InvalidTokenError, msgspec.ValidationError):
            raise Unauthenticated from None

    def _remember(self, token: str, claims: Claims) -> None:
        self._remembered[token] = claims
        if len(self._remembered) > _REMEMBERED_MAX:
            self._remembered.popitem(last=False)
