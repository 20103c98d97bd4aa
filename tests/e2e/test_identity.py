"""Who calls: registration, login, logout, and every token that must not count."""

from __future__ import annotations

import base64
import json
import time
import unicodedata
from typing import Any
from uuid import uuid4

import httpx
import jwt
import pytest

from deploy.local.stack import Stack
from tests.support.bank import Bank
from tests.support.whole import TOKEN_LIFE_S

_PASSWORD = "correct horse battery"


def _register(bank: Bank, **changes: Any) -> httpx.Response:
    body = {"email": f"{uuid4().hex}@example.com", "password": _PASSWORD, "full_name": "Ada", **changes}
    return bank.client.post("/api/v1/auth/register", json=body)


def _login(bank: Bank, email: str, password: str = _PASSWORD) -> httpx.Response:
    return bank.client.post("/api/v1/auth/login", json={"email": email, "password": password})


def _me(bank: Bank, authorization: str) -> httpx.Response:
    return bank.client.get("/api/v1/auth/me", headers={"Authorization": authorization})


def test_a_new_customer_is_told_who_he_is_and_never_his_password(bank: Bank) -> None:
    answer = _register(bank, email="  Ada.Lovelace+1@Example.com ".replace("+1", uuid4().hex))
    user = answer.json()
    assert answer.status_code == 201
    assert set(user) == {"id", "email", "full_name", "role", "is_active", "created_at"}
    assert (user["role"], user["is_active"], user["full_name"]) == ("customer", True, "Ada")
    login = _login(bank, user["email"])
    assert set(login.json()) == {"access_token", "token_type", "expires_in"}
    assert (login.json()["token_type"], login.json()["expires_in"]) == ("bearer", TOKEN_LIFE_S)
    assert _me(bank, f"Bearer {login.json()['access_token']}").json() == user


@pytest.mark.parametrize("change", [{"role": "admin"}, {"is_active": True}, {"id": str(uuid4())}])
def test_nobody_makes_himself_more_than_a_customer(bank: Bank, change: dict[str, Any]) -> None:
    answer = _register(bank, **change)
    assert (answer.status_code, answer.json()["code"]) == (422, "validation_failed")


@pytest.mark.parametrize(
    ("password", "status"),
    [("x" * 7, 422), ("x" * 8, 201), ("x" * 128, 201), ("x" * 129, 422), ("é" * 7, 422), ("💸" * 8, 201),
     ("💸" * 128, 201), ("💸" * 129, 422), (" " * 8, 201), ("x\x00" * 4, 422), ("", 422), (12345678, 422), (None, 422)],
)  # fmt: skip
def test_a_password_has_eight_to_a_hundred_and_twenty_eight_characters(bank: Bank, password: Any, status: int) -> None:
    email = f"{uuid4().hex}@example.com"
    assert _register(bank, email=email, password=password).status_code == status
    if status == 201:
        assert _login(bank, email, password).status_code == 200
        assert _login(bank, email, password[:-1]).status_code == 401


@pytest.mark.parametrize(
    "email",
    ["", "a", "a@", "@b", "a b@c.d", "a@b@c", "a@b..c", "a@.b", "a@b.", "a\x00@b.c", "a\u200b@b.c", "a@b c",
     "x" * 65 + "@b.c", "a@" + "b" * 64 + ".c", "x" * 250 + "@b.c", 7, None, ["a@b.c"]],
)  # fmt: skip
def test_what_is_no_address_is_refused(bank: Bank, email: Any) -> None:
    answer = _register(bank, email=email)
    assert (answer.status_code, answer.json()["code"]) == (422, "validation_failed")


@pytest.mark.parametrize("name", ["", "   ", "x" * 201, "a\x00b", None])
def test_a_name_is_visible_and_bounded(bank: Bank, name: Any) -> None:
    assert _register(bank, full_name=name).status_code == 422


def test_an_address_is_one_however_it_is_written(bank: Bank) -> None:
    """Case, Unicode form and width: what a person takes for the same address opens the same door, and only one."""
    unique = uuid4().hex
    composed = unicodedata.normalize("NFC", f"José.STRASSE.{unique}@exämple.com")
    assert _register(bank, email=composed).status_code == 201
    spellings = [
        composed.upper(),
        composed.lower(),
        unicodedata.normalize("NFD", composed),
        composed.replace("STRASSE", "Straße"),
        composed.replace("J", "\uff2a"),
        f"  {composed} ",
    ]
    for spelling in spellings:
        taken = _register(bank, email=spelling)
        assert (taken.status_code, taken.json()["code"]) == (409, "email_taken")
        assert _login(bank, spelling).status_code == 200


def test_a_password_is_one_in_every_unicode_form(bank: Bank) -> None:
    email, password = f"{uuid4().hex}@example.com", unicodedata.normalize("NFC", "Café au lait")
    assert _register(bank, email=email, password=password).status_code == 201
    assert _login(bank, email, unicodedata.normalize("NFD", password)).status_code == 200
    assert _login(bank, email, password.upper()).status_code == 401


def test_address_and_password_are_wrong_in_the_same_way(bank: Bank) -> None:
    email = f"{uuid4().hex}@example.com"
    _register(bank, email=email)
    headers = {"X-Request-ID": "the-same"}
    wrong, unknown = (
        bank.client.post("/api/v1/auth/login", json={"email": who, "password": "wrong password"}, headers=headers)
        for who in (email, f"{uuid4().hex}@example.com")
    )
    assert wrong.status_code == unknown.status_code == 401
    assert wrong.content == unknown.content
    assert {**wrong.headers, "date": ""} == {**unknown.headers, "date": ""}


def test_address_and_password_are_wrong_after_the_same_time(bank: Bank) -> None:
    """A hash is made in either case; without it an unknown address would answer ten times as fast.

    The quickest of each are compared, of all rounds so far: other work on the machine can but make a call slower.
    """

    def took_s(email: str) -> float:
        begun = time.perf_counter()
        assert _login(bank, email, "wrong password").status_code == 401
        return time.perf_counter() - begun

    seen, pairs = [], []
    for _ in range(3):
        known = f"{uuid4().hex}@example.com"
        _register(bank, email=known)
        # No more: an address may fail a hundred times in fifteen minutes, and all that is tested here comes from one.
        pairs += [(took_s(known), took_s(f"{uuid4().hex}@example.com")) for _ in range(6)]
        known_s, unknown_s = (min(side) for side in zip(*pairs, strict=True))
        seen.append(f"{known_s:.4f} and {unknown_s:.4f} s")
        if abs(known_s - unknown_s) < 0.25 * max(known_s, unknown_s):
            return
    pytest.fail(f"told apart in every round: {seen}")


def test_logout_is_for_the_token_that_is_given_and_for_no_other(bank: Bank) -> None:
    email = f"{uuid4().hex}@example.com"
    _register(bank, email=email)
    one, other = (_login(bank, email).json()["access_token"] for _ in range(2))
    assert _me(bank, f"Bearer {one}").status_code == 200
    logout = bank.client.post("/api/v1/auth/logout", headers={"Authorization": f"Bearer {one}"})
    assert (logout.status_code, logout.content) == (204, b"")
    assert _me(bank, f"Bearer {one}").status_code == 401
    assert bank.client.post("/api/v1/auth/logout", headers={"Authorization": f"Bearer {one}"}).status_code == 401
    assert _me(bank, f"Bearer {other}").status_code == 200


@pytest.mark.parametrize("change", [{"role": "admin"}, {"is_active": False}])
def test_a_change_of_a_user_ends_his_tokens(bank: Bank, change: dict[str, Any]) -> None:
    user = bank.customer()
    assert user.call("GET", "/auth/me").status_code == 200
    answer = bank.admin.call("PATCH", f"/admin/users/{user.user['id']}", json=change)
    assert answer.status_code == 200, answer.text
    assert user.call("GET", "/auth/me").status_code == 401
    # Who is not active does not come back either; and is told no more than anybody.
    again = _login(bank, user.user["email"])
    assert again.status_code == (200 if "role" in change else 401)


def _claims(token: str, **changes: Any) -> dict[str, Any]:
    claims = jwt.decode(token, options={"verify_signature": False})
    claims.update(changes)
    return {name: value for name, value in claims.items() if value is not None}


def _unsigned(header: dict[str, Any], claims: dict[str, Any]) -> str:
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in (header, claims)]
    return f"{parts[0]}.{parts[1]}."


def test_only_tokens_of_this_gateway_for_this_api_and_now_count(bank: Bank, stack: Stack) -> None:
    """Each differs from a good one in one thing, and all but three are signed with the right key."""
    secret = stack.service_settings("gateway")["REMIT_GATEWAY_JWT_SECRET"]
    token, now = bank.customer().token, int(time.time())

    def signed(key: str = secret, algorithm: str = "HS256", kid: str | None = "1", **changes: Any) -> str:
        headers = {"kid": kid} if kid is not None else None
        return jwt.encode(_claims(token, **changes), key, algorithm=algorithm, headers=headers)

    assert _me(bank, f"Bearer {signed()}").status_code == 200
    forged = {
        "no algorithm": _unsigned({"alg": "none", "typ": "JWT", "kid": "1"}, _claims(token)),
        "no algorithm, written otherwise": _unsigned({"alg": "NoNe", "kid": "1"}, _claims(token)),
        "another algorithm": signed(algorithm="HS384"),
        "another key": signed(key="x" * 64),
        "another key id": signed(kid="2"),
        "a key id that is a path": signed(kid="../../dev/null"),
        "no key id": signed(kid=None),
        "another audience": signed(aud="elsewhere"),
        "no audience": signed(aud=None),
        "another issuer": signed(iss="elsewhere"),
        "no issuer": signed(iss=None),
        "expired": signed(exp=now - 1),
        "no expiry": signed(exp=None),
        "not yet valid": signed(nbf=now + 60),
        "issued in the future": signed(iat=now + 60),
        "no token id": signed(jti=None),
        "another version": signed(ver=99),
        "nobody": signed(sub=str(uuid4())),
        "no subject": signed(sub=None),
        "a changed payload": ".".join([token.split(".")[0], signed(ver=2).split(".")[1], token.split(".")[2]]),
        "cut short": token[:-2],
        "too long": token + "x" * 5000,
    }
    answers = {name: _me(bank, f"Bearer {one}") for name, one in forged.items()}
    assert {name: answer.status_code for name, answer in answers.items()} == dict.fromkeys(forged, 401)
    assert {answer.json()["code"] for answer in answers.values()} == {"unauthenticated"}


@pytest.mark.parametrize("scheme", ["Basic {}", "{}", "bearer", "Bearer", "Token {}", "Bearer {} {}"])
def test_a_token_is_a_bearers(bank: Bank, scheme: str) -> None:
    token = bank.customer().token
    assert _me(bank, scheme.replace("{}", token)).status_code == 401
    assert _me(bank, f"bearer {token}").status_code == 200


def test_a_token_elsewhere_is_none(bank: Bank) -> None:
    token = bank.customer().token
    assert bank.client.get("/api/v1/auth/me", params={"access_token": token}).status_code == 401
    assert bank.client.get("/api/v1/auth/me", headers={"Cookie": f"access_token={token}"}).status_code == 401
