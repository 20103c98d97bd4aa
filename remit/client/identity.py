"""Whose token a client bears, and when it needs a new one."""

from __future__ import annotations

from remit.client.errors import LoginNeeded, TokenExpired
from remit.client.http import Credentials
from remit.client.models import Token

# With credentials a token is renewed when less than this part of its life is left.
_RENEW_BELOW = 0.2


class Identity:
    """A token and its end, on the client's clock. No representation shows it."""

    def __init__(self, credentials: Credentials | None, token: str | None) -> None:
        self.credentials = credentials
        self._token = token
        self._has_ended = False
        self._renew_at_s = self._ends_at_s = float("inf")

    def take(self, token: Token, now_s: float) -> None:
        """From now on this one counts."""
        self._token, self._has_ended = token.access_token, False
        self._ends_at_s = now_s + token.expires_in
        self._renew_at_s = now_s + token.expires_in * (1 - _RENEW_BELOW)

    def fresh(self, now_s: float) -> str | None:
        """The token, unless it is time for a new one."""
        until_s = self._ends_at_s if self.credentials is None else self._renew_at_s
        return self._token if now_s < until_s else None

    def missing(self) -> LoginNeeded:
        """Why there is no token, where nobody gave credentials."""
        return TokenExpired() if self._has_ended or self._token is not None else LoginNeeded()

    def drop(self, token: str | None) -> None:
        """It is no good any more. Another call may have renewed it meanwhile; that one stays."""
        if token is not None and self._token == token:
            self._token, self._has_ended = None, True

    def leave(self) -> None:
        """Nobody is logged in any more."""
        self._token, self._has_ended = None, False
