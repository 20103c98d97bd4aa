"""How each service reads its settings: who gives it an environment sees whether it would start with that."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from services.audit.settings import settings_from as audit_settings
from services.fraud.settings import settings_from as fraud_settings
from services.gateway.settings import settings_from as gateway_settings
from services.ledger.settings import settings_from as ledger_settings
from services.transfer.settings import settings_from as transfer_settings
from shared.settings import Environment

SETTINGS_OF: Mapping[str, Callable[[Environment], object]] = {
    "gateway": gateway_settings,
    "fraud": fraud_settings,
    "transfer": transfer_settings,
    "ledger": ledger_settings,
    "audit": audit_settings,
}
