"""What a service says of itself at `/metrics`, read as Prometheus would."""

from __future__ import annotations

from collections.abc import Mapping

import httpx
from prometheus_client.parser import text_string_to_metric_families

Series = tuple[str, frozenset[tuple[str, str]]]


class Scrape:
    """All samples of one moment."""

    def __init__(self, text: str) -> None:
        families = list(text_string_to_metric_families(text))
        # As Prometheus finds them; those too that have no series yet.
        self.names = {f"{one.name}_total" if one.type == "counter" else one.name for one in families}
        self.samples: Mapping[Series, float] = {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in families
            for sample in family.samples
        }

    def value(self, name: str, **labels: str) -> float:
        """One series; KeyError if it is not there, not even as a zero."""
        return self.samples[name, frozenset(labels.items())]

    def sum(self, name: str, **labels: str) -> float:
        """All series of a name that have these labels, as `sum(name{...})` would give."""
        wanted = labels.items()
        return sum(value for (own, has), value in self.samples.items() if own == name and wanted <= has)

    def since(self, before: Scrape, name: str, label: str) -> dict[str, float]:
        """How much a counter grew since `before`, by one label, where it grew."""
        grown: dict[str, float] = {}
        for (own, labels), value in self.samples.items():
            if own == name and (more := value - before.samples.get((own, labels), 0.0)):
                key = dict(labels)[label]
                grown[key] = grown.get(key, 0.0) + more
        return grown


def scrape(url: str) -> Scrape:
    """What the service at `url` says now."""
    answer = httpx.get(f"{url}/metrics", timeout=10)
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"].startswith("text/plain")
    return Scrape(answer.text)
