"""Settings: narrow addresses derive from wide ones; a wrong value is named in one line."""

from __future__ import annotations

import pytest

from services.transfer.settings import settings_from
from shared.errors import SettingsError
from shared.settings import amqp_url, postgres_url, reads_postgres_url, role_password

WIDE = {
    "REMIT_POSTGRES_URL": "postgresql://owner:s3cret@db:5432/remit",
    "REMIT_AMQP_URL": "amqp://root:s3cret@mq:5672/",
}


def test_a_narrow_address_derives_from_the_wide_one() -> None:
    expected = f"postgresql://remit_gateway:{role_password('s3cret', 'remit_gateway')}@db:5432/remit"
    assert postgres_url(WIDE, "identity") == expected
    assert reads_postgres_url(WIDE, "gateway", "ledger") == expected
    assert amqp_url(WIDE, "fraud") == f"amqp://remit_fraud:{role_password('s3cret', 'remit_fraud')}@mq:5672/"


def test_an_address_of_its_own_wins() -> None:
    own = {**WIDE, "REMIT_LEDGER_POSTGRES_URL": "postgresql://l:p@elsewhere/ledger"}
    assert postgres_url(own, "ledger") == "postgresql://l:p@elsewhere/ledger"


def test_the_derived_password_does_not_tell_the_wide_one() -> None:
    assert "s3cret" not in postgres_url(WIDE, "fraud")


@pytest.mark.parametrize(
    ("environment", "named"),
    [
        ({}, "REMIT_TRANSFER_POSTGRES_URL"),
        ({**WIDE, "REMIT_TRANSFER_HTTP_PORT": "eighty"}, "REMIT_TRANSFER_HTTP_PORT"),
        ({**WIDE, "REMIT_TRANSFER_PREFETCH_MAX": "0"}, "REMIT_TRANSFER_PREFETCH_MAX"),
        ({**WIDE, "REMIT_TRANSFER_POSTGRES_URL": "", "REMIT_POSTGRES_URL": "nonsense"}, "scheme://"),
    ],
)
def test_a_wrong_value_is_named_in_one_line(environment: dict[str, str], named: str) -> None:
    with pytest.raises(SettingsError) as caught:
        settings_from(environment)
    assert named in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "nonsense" not in str(caught.value)
