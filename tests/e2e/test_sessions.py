"""The console's session: who gets one, what its cookie opens, and all the ways in which it must open nothing."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import httpx
import jwt
import pytest

from deploy.local.stack import Stack
from tests.support.bank import _PASSWORD, Bank, Session
from tests.support.browsing import SESSION, Page
from tests.support.waiting import until
from tests.support.whole import TOKEN_LIFE_S

_LOOK = "/api/v1/admin/pipeline"


@pytest.fixture
def operator(bank: Bank) -> Session:
    return bank.operator()


@pytest.fixture
def page(bank: Bank) -> Iterator[Page]:
    with httpx.Client(base_url=bank.client.base_url, timeout=40) as client:
        yield Page(client)


@pytest.fixture
def entered(page: Page, operator: Session) -> Page:
    """A page whose operator is logged in."""
    assert page.log_in(operator.user["email"], _PASSWORD).status_code == 200
    return page


def _attributes(answer: httpx.Response) -> dict[str, str]:
    """Of the only cookie that is set, by name in lower case."""
    (line,) = answer.headers.get_list("Set-Cookie")
    parts = [part.strip().partition("=") for part in line.split(";")[1:]]
    return {name.lower(): value for name, _, value in parts}


def test_an_operator_gets_a_cookie_that_no_script_reads_and_no_other_site_sends(page: Page, operator: Session) -> None:
    answer = page.log_in(operator.user["email"], _PASSWORD)
    assert answer.status_code == 200
    attributes, body = _attributes(answer), answer.json()
    assert {name: attributes.get(name) for name in ("httponly", "samesite", "path", "max-age")} == {
        "httponly": "", "samesite": "Strict", "path": "/api/v1", "max-age": str(body["expires_in"]),
    }  # fmt: skip
    assert body.keys() == {"user", "expires_in", "ends_in"}
    assert body["user"] == operator.user | {"role": "admin"}
    # Seconds that are left, and the answer may take some.
    assert TOKEN_LIFE_S - 60 < body["expires_in"] <= TOKEN_LIFE_S
    assert 12 * 3600 - 60 < body["ends_in"] <= 12 * 3600
    token = page.cookie.partition("=")[2]
    assert token
    assert token not in answer.text
    assert page.call("GET", _LOOK).status_code == 200
    assert page.call("GET", SESSION).json()["user"]["id"] == operator.user["id"]


def test_over_https_the_cookie_is_secure_by_name_and_attribute(page: Page, operator: Session) -> None:
    """TLS ends at the proxy: the browser's own word for its origin tells, and no page can forge it."""
    proxied = {"Origin": "https://remit.example", "Host": "remit.example"}
    answer = page.log_in(operator.user["email"], _PASSWORD, headers=proxied)
    assert answer.status_code == 200
    assert page.cookie.startswith("__Secure-remit_session=")
    assert "secure" in _attributes(answer)
    assert page.call("GET", _LOOK, headers={"Host": "remit.example"}).status_code == 200
    # Under its other name it could have been planted over plain http, so elsewhere than here it is none.
    page.cookie = page.cookie.removeprefix("__Secure-")
    assert page.call("GET", _LOOK, headers={"Host": "remit.example"}).status_code == 401


@pytest.mark.parametrize("host", ["remit.example", "10.0.0.7:8080", "localhost.evil.example", "127.0.0.1.evil.example"])
def test_over_plain_http_from_another_machine_there_is_no_session(page: Page, operator: Session, host: str) -> None:
    elsewhere = {"Origin": f"http://{host}", "Host": host}
    answer = page.log_in(operator.user["email"], _PASSWORD, headers=elsewhere)
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")
    assert "https" in answer.json()["detail"]
    assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize("host", ["localhost:8080", "127.0.0.1", "127.9.9.9:1", "[::1]:8080"])
def test_on_the_gateways_own_machine_plain_http_does(page: Page, operator: Session, host: str) -> None:
    here = {"Origin": f"http://{host}", "Host": host}
    assert page.log_in(operator.user["email"], _PASSWORD, headers=here).status_code == 200
    assert page.call("GET", _LOOK, headers={"Host": host}).status_code == 200


def _foreign(page: Page) -> dict[str, dict[str, Any]]:
    """Requests that another site, or a program without the page's proofs, can make a browser send with the cookie."""
    return {
        "without the header": {"without": "X-Remit-Console"},
        "another header": {"headers": {"X-Remit-Console": "0"}},
        "no site told": {"without": "Sec-Fetch-Site"},
        "same site": {"headers": {"Sec-Fetch-Site": "same-site"}},
        "another site": {"headers": {"Sec-Fetch-Site": "cross-site"}},
        "typed in": {"headers": {"Sec-Fetch-Site": "none"}},
        "another origin": {"headers": {"Origin": "https://evil.example"}},
        "another port": {"headers": {"Origin": "http://127.0.0.1:1"}},
        "no origin of its own": {"headers": {"Origin": "null"}},
        "origin and more": {"headers": {"Origin": f"{page.origin}.evil.example"}},
        "broken origin": {"headers": {"Origin": "http://["}},
    }


@pytest.mark.parametrize("how", list(_foreign(Page(httpx.Client()))))
def test_a_cookie_without_the_pages_proofs_authenticates_nobody(entered: Page, how: str) -> None:
    """Neither reads nor writes, and neither the log-out; the session itself stays as it was."""
    foreign = _foreign(entered)[how]
    letter = f"/api/v1/admin/dead-letters/{uuid4()}"
    for method, path in [("GET", _LOOK), ("POST", f"{letter}/replay"), ("DELETE", letter), ("DELETE", SESSION),
                         ("PUT", SESSION), ("POST", "/api/v1/auth/logout"), ("GET", "/api/v1/auth/me")]:  # fmt: skip
        answer = entered.call(method, path, **foreign)
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated"), (method, path)
    assert entered.call("GET", SESSION, **foreign).status_code == 204
    assert entered.call("GET", _LOOK).status_code == 200


@pytest.mark.parametrize("how", list(_foreign(Page(httpx.Client()))))
def test_another_site_cannot_log_anybody_in(page: Page, operator: Session, how: str) -> None:
    """Otherwise it could let an operator work under a name that is not his."""
    answer = page.log_in(operator.user["email"], _PASSWORD, **_foreign(page)[how])
    assert answer.status_code == 401
    assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_what_changes_something_needs_its_origin(entered: Page, method: str) -> None:
    path = _LOOK.replace("pipeline", f"dead-letters/{uuid4()}/replay") if method == "POST" else SESSION
    assert entered.call(method, path, without="Origin").status_code == 401


def test_a_token_beside_the_cookie_is_what_counts(entered: Page, bank: Bank) -> None:
    customer = {"Authorization": f"Bearer {bank.customer().token}"}
    assert entered.call("GET", _LOOK, headers=customer).status_code == 403
    assert entered.call("GET", _LOOK, headers={"Authorization": "Bearer x"}).status_code == 401


def test_two_cookies_are_none(entered: Page) -> None:
    """Somebody has planted one of them, and which one cannot be told."""
    entered.cookie = f"{entered.cookie}; {entered.cookie}"
    assert entered.call("GET", _LOOK).status_code == 401


def test_customers_are_not_let_in_and_it_is_audited(page: Page, bank: Bank) -> None:
    customer = bank.customer()
    answer = page.log_in(customer.user["email"], _PASSWORD)
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    assert "Set-Cookie" not in answer.headers
    assert _row(bank, customer.user["id"], "LOGIN", "blocked")["error_message"] == "forbidden"


def test_a_wrong_password_is_refused_and_audited_as_everywhere(page: Page, bank: Bank, operator: Session) -> None:
    answer = page.log_in(operator.user["email"], "not his password")
    assert (answer.status_code, answer.json()["detail"]) == (401, "E-mail address or password is wrong.")
    assert _row(bank, operator.user["id"], "LOGIN", "failed")["error_message"] == "bad_credentials"


def test_failures_here_and_there_are_counted_together(page: Page, bank: Bank) -> None:
    email = f"{uuid4().hex}@example.com"
    for _ in range(5):
        assert page.log_in(email, "wrong password").status_code == 401
        there = bank.client.post("/api/v1/auth/login", json={"email": email, "password": "wrong password"})
        assert there.status_code == 401
    refused = page.log_in(email, "wrong password")
    assert (refused.status_code, refused.json()["code"]) == (429, "rate_limited")
    assert int(refused.headers["Retry-After"]) > 0


def test_a_renewed_session_goes_on_and_its_end_ends_every_token_of_it(entered: Page, bank: Bank) -> None:
    first = entered.cookie
    renewed = entered.call("PUT", SESSION)
    assert renewed.status_code == 200
    second = renewed.headers["Set-Cookie"].partition(";")[0]
    for cookie in (first, second):
        entered.cookie = cookie
        assert entered.call("GET", _LOOK).status_code == 200
    ended = entered.call("DELETE", SESSION)
    assert ended.status_code == 204
    assert _attributes(ended)["max-age"] == "0"
    user = renewed.json()["user"]["id"]
    for cookie in (first, second):
        entered.cookie = cookie
        assert entered.call("GET", _LOOK).status_code == 401
        assert entered.call("PUT", SESSION).status_code == 401
    assert _row(bank, user, "LOGOUT", "success")


def test_no_renewal_outlives_the_session(entered: Page, stack: Stack) -> None:
    """Near the end of its twelve hours, a new token ends with them."""
    secret = stack.service_settings("gateway")["REMIT_GATEWAY_JWT_SECRET"]
    name, _, token = entered.cookie.partition("=")
    claims = jwt.decode(token, secret, algorithms=["HS256"], audience="remit-api")
    claims |= {"until": int(time.time()) + 100, "exp": int(time.time()) + 100}
    entered.cookie = f"{name}={jwt.encode(claims, secret, algorithm='HS256', headers={'kid': '1'})}"
    answer = entered.call("PUT", SESSION)
    assert answer.status_code == 200
    assert 90 <= answer.json()["expires_in"] == answer.json()["ends_in"] <= 100


def test_a_token_of_the_api_is_no_session_to_renew(page: Page, operator: Session) -> None:
    page.cookie = f"remit_session={operator.token}"
    assert page.call("PUT", SESSION).status_code == 401


def test_whoever_is_no_operator_any_more_is_out(entered: Page, bank: Bank, operator: Session) -> None:
    assert bank.admin.call("PATCH", f"/admin/users/{operator.user['id']}", json={"role": "customer"}).status_code == 200
    assert entered.call("GET", _LOOK).status_code == 401
    assert entered.call("GET", SESSION).status_code == 204


def _row(bank: Bank, user_id: str, action: str, status: str) -> dict[str, Any]:
    asked = {"user_id": user_id, "action": action, "status": status}
    rows: list[dict[str, Any]] = until(lambda: bank.admin.get("/admin/audit-logs", **asked)["items"])
    return rows[0]
