"""PromQL that many panels ask."""

from __future__ import annotations

from deploy.grafana.panels import Query

R = "[$__rate_interval]"
_QUANTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}


def rate(metric: str, by: str, *, where: str = "") -> Query:
    """A counter's rate a second, summed over all instances."""
    named = " ".join(f"{{{{{label}}}}}" for label in by.split(", "))
    return Query(f"sum by ({by}) (rate({metric}{_where(where)}{R}))", named)


def quantiles(metric: str, *, where: str = "") -> list[Query]:
    """A histogram's median and its tail, over all instances."""
    seen = f"sum by (le) (rate({metric}_bucket{_where(where)}{R}))"
    return [Query(f"histogram_quantile({quantile}, {seen})", named) for named, quantile in _QUANTILES.items()]


def _where(selector: str) -> str:
    return f"{{{selector}}}" if selector else ""
