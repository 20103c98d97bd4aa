"""The composition root: `outside` is what it stands on, `wiring` makes its parts, `running` is their life."""

from services.gateway.service.running import Gateway, open_gateway, run_gateway

__all__ = ["Gateway", "open_gateway", "run_gateway"]
