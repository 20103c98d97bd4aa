"""All dashboards: the business, the pipeline, each service, and the servers below them."""

from __future__ import annotations

from deploy.grafana.business import BUSINESS
from deploy.grafana.gateway import GATEWAY
from deploy.grafana.pipeline import PIPELINE
from deploy.grafana.servers import SERVERS
from deploy.grafana.workers import AUDIT, FRAUD, LEDGER, TRANSFER

DASHBOARDS = (BUSINESS, PIPELINE, GATEWAY, FRAUD, TRANSFER, LEDGER, AUDIT, SERVERS)
