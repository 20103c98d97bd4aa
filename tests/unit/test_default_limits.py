"""The limits of the specification are those that hold where nobody has set any."""

from __future__ import annotations

from services.fraud.settings import settings_from as fraud_settings
from services.gateway.settings import settings_from as gateway_settings

_ENVIRONMENT = {
    "REMIT_POSTGRES_URL": "postgresql://owner:s3cret@db:5432/remit",
    "REMIT_AMQP_URL": "amqp://root:s3cret@mq:5672/",
    "REMIT_REDIS_URL": "redis://cache:6379/0",
    "REMIT_GATEWAY_JWT_SECRET": "x" * 64,
}


def test_a_user_has_the_limits_of_the_specification() -> None:
    limits = fraud_settings(_ENVIRONMENT).limits
    for limit, dollars, yen in (
        (limits.max_amount, 100_000_000, 1_000_000),
        (limits.max_daily_amount, 500_000_000, 5_000_000),
    ):
        assert limit is not None
        assert (limit.of("USD"), limit.of("JPY")) == (dollars, yen)
    assert limits.min_amount is not None
    assert limits.min_amount.of("USD") == 1
    assert (limits.max_hourly_count, limits.max_daily_count) == (50, 200)


def test_an_address_has_ten_calls_in_sixty_seconds_and_a_token_lives_fifteen_minutes() -> None:
    settings = gateway_settings(_ENVIRONMENT)
    assert (settings.ip_rate_limit, settings.ip_rate_window_s) == (10, 60)
    assert (settings.jwt_ttl_s, settings.ledger_max_lag_s) == (900, 60.0)
