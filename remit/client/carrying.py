"""One call, carried to its end: token, key, tries and pauses, within a deadline."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import msgspec

from remit.client.errors import (
    ApiError,
    ClientError,
    LoginNeeded,
    OutcomeUnknown,
    RateLimited,
    TokenExpired,
    UnexpectedAnswer,
    Unreachable,
    error_of,
    is_decided,
    problem_of,
)
from remit.client.http import Alone, Call, Credentials, Flow, Heard, Lost, Pause, Reply, Send
from remit.client.identity import Identity
from remit.client.models import Token
from remit.client.retry import Fate, Patience, after_answer, after_loss, may_be_done, retry_after_s

# What the API may take for an answer beyond the wait that it was asked for. Its own answer is to come first.
_ANSWER_MAX_S = 15.0
# Of the time that is left, kept for the answer to come back when the API is asked to wait.
_WAY_BACK_S = 1.0
_TIMEOUT_MIN_S = 0.05


@dataclass(frozen=True, kw_only=True)
class Trouble:
    """A try that brought no result, what to do now, and how long the server asked us to wait."""

    fate: Fate
    error: ClientError
    asked_s: float | None = None
    may_be_done: bool = False


@dataclass(kw_only=True)
class Trying:
    """One call under way."""

    call: Call
    deadline_s: float
    attempts: int = 0
    is_renewed: bool = False
    # Some try may have done it: from then on only its outcome says whether.
    may_be_done: bool = False


@dataclass(frozen=True, kw_only=True)
class Carrier:
    """Carries calls as one user. `clock` counts seconds and never back; `draw` gives numbers from 0 to 1."""

    identity: Identity
    patience: Patience
    clock: Callable[[], float]
    draw: Callable[[], float]
    user_agent: str = field(default="remit-client")

    def carry(self, call: Call, until_s: float | None = None) -> Flow[Reply]:
        """The answer of `call`, after as many tries as are right; `until_s` on the client's clock ends them sooner.

        Raises:
            ProblemError: the API refused it.
            LoginNeeded: there is no token that is good.
            Unreachable: no answer, or none but "not now", for as long as our patience lasts; nothing was done.
            OutcomeUnknown: the same, and it may have been done.
        """
        deadline_s = self.clock() + self.patience.give_up_after_s + call.slow_s
        trying = Trying(call=call, deadline_s=deadline_s if until_s is None else min(deadline_s, until_s))
        with _honest(trying):
            return (yield from self._tries(trying))

    def _tries(self, trying: Trying) -> Flow[Reply]:
        call = trying.call
        while True:
            trying.attempts += 1
            token = (yield from self._token(trying.deadline_s)) if call.authenticated else None
            heard = yield self._send(trying, token)
            outcome = self._judged(trying, heard, token)
            if isinstance(outcome, Reply):
                return outcome
            trying.may_be_done |= outcome.may_be_done and call.changes
            if outcome.fate is Fate.RENEW_TOKEN:
                trying.is_renewed = True
                self.identity.drop(token)
            elif outcome.fate is Fate.FAIL:
                raise outcome.error
            else:
                yield self._pause(trying, outcome)

    def _pause(self, trying: Trying, trouble: Trouble) -> Pause:
        pause_s = self.patience.pause_s(trying.attempts, trouble.asked_s, self.draw())
        is_late = self.clock() + pause_s > trying.deadline_s
        if not is_late and trying.attempts < self.patience.attempts_max:
            return Pause(pause_s)
        if isinstance(trouble.error, RateLimited):
            raise trouble.error
        tried = f"(tried {trying.attempts} times)"
        raise Unreachable(f"{trying.call.method} {trying.call.path}: {trouble.error} {tried}") from trouble.error

    def _send(self, trying: Trying, token: str | None) -> Send:
        call, left_s = trying.call, max(trying.deadline_s - self.clock(), _TIMEOUT_MIN_S)
        wait_s = None if call.wait_s is None else max(min(call.wait_s, int(left_s - _WAY_BACK_S)), 0)
        answer_max_s = _ANSWER_MAX_S + call.slow_s + (wait_s or 0)
        return Send(
            method=call.method,
            target=call.target,
            body=call.body,
            headers=self._headers(call, token, wait_s),
            timeout_s=min(answer_max_s, left_s),
            streamed=call.streamed,
        )

    def _headers(self, call: Call, token: str | None, wait_s: int | None) -> dict[str, str]:
        headers = {"User-Agent": self.user_agent}
        if call.body is not None:
            headers["Content-Type"] = "application/json"
        if call.key is not None:
            headers["Idempotency-Key"] = quoted(call.key)
        if wait_s is not None:
            headers["Prefer"] = f"wait={wait_s}" if wait_s else "respond-async"
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        return headers

    def _judged(self, trying: Trying, heard: Heard | Lost, token: str | None) -> Reply | Trouble:
        call = trying.call
        if isinstance(heard, Lost):
            fate = after_loss(was_sent=heard.was_sent, repeatable=call.repeatable)
            error = Unreachable(f"no answer {heard.reason}")
            return Trouble(fate=fate, error=error, may_be_done=heard.was_sent)
        asked_s = retry_after_s(heard.headers.get("Retry-After"))
        if heard.status < 300:
            location = heard.headers.get("Location")
            return Reply(
                status=heard.status, body=heard.body, location=location, retry_after_s=asked_s, stream=heard.stream
            )
        if heard.status < 400:
            raise UnexpectedAnswer(f"{call.method} {call.path} was answered {heard.status}: is the address right?")
        if heard.status == 404 and call.method == "DELETE" and trying.may_be_done:
            # The try before has done it: it is gone, as was wanted.
            return Reply(status=204, body=b"")
        return self._refused(trying, heard, token, asked_s)

    def _refused(self, trying: Trying, heard: Heard, token: str | None, asked_s: float | None) -> Trouble:
        problem = problem_of(heard.status, heard.body)
        cannot_renew = token is None or trying.is_renewed or self.identity.credentials is None
        repeatable = trying.call.repeatable
        fate = after_answer(problem.status, problem.code, repeatable=repeatable, token_is_fresh=cannot_renew)
        error: ClientError = error_of(problem, asked_s)
        if problem.status == 401 and token is not None and self.identity.credentials is None:
            self.identity.drop(token)
            error = TokenExpired()
        is_open = may_be_done(problem.status, problem.code)
        return Trouble(fate=fate, error=error, asked_s=asked_s, may_be_done=is_open)

    def _token(self, deadline_s: float) -> Flow[str]:
        token = self.identity.fresh(self.clock())
        if token is not None:
            return token
        if self.identity.credentials is None:
            raise self.identity.missing()
        failed = yield Alone(self._renew(self.identity.credentials, deadline_s))
        if isinstance(failed, ClientError):
            raise failed
        token = self.identity.fresh(self.clock())
        if token is None:
            raise LoginNeeded("the API gives out tokens that have expired")
        return token

    def _renew(self, credentials: Credentials, deadline_s: float) -> Flow[None]:
        # Whoever was alone before us may have done it.
        if self.identity.fresh(self.clock()) is None:
            yield from self.log_in(credentials, deadline_s)

    def log_in(self, credentials: Credentials, until_s: float | None = None) -> Flow[Token]:
        """A new token, which counts from now on."""
        body = msgspec.json.encode({"email": credentials.email, "password": credentials.password})
        call = Call(method="POST", path="/api/v1/auth/login", body=body, authenticated=False, changes=False)
        token = (yield from self.carry(call, until_s)).read(Token)
        self.identity.take(token, self.clock())
        return token


@contextmanager
def _honest(trying: Trying) -> Iterator[None]:
    """Once a try may have done it, no error but one that tells its outcome may say that it was not done."""
    try:
        yield
    except ClientError as error:
        if not trying.may_be_done or is_decided(error):
            raise
        # A refusal of a call without a key is about the thing as it is; with one, it may be about this try alone.
        if not trying.call.is_keyed and isinstance(error, ApiError) and error.status < 500:
            raise
        text = f"{trying.call.method} {trying.call.path} may or may not have been done: {error}"
        raise OutcomeUnknown(text) from error


def quoted(key: str) -> str:
    """A key as its header says it: bare, or as a string of RFC 9651 where bare it would be read as another one."""
    if not key.startswith('"') and key == key.strip(" "):
        return key
    escaped = key.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
