"""`python -m tests.chart`: lints the chart, renders it with each file of values, and validates every manifest."""

from __future__ import annotations

import sys

from rich.markup import escape

from remit.console import console, table
from tests.chart import helm
from tests.chart.validation import KUBERNETES, complaints

_EXAMPLES = ("rabbitmq.yaml", "postgres.yaml", "redis.yaml")


def main() -> int:
    """0 if there is nothing to complain of."""
    out, trouble = console(), []
    rows = table("file", "manifests", "result")
    for name, values in helm.values_files().items():
        manifests = helm.render(values)
        found = helm.lint(values) + [line for manifest in manifests for line in complaints(manifest)]
        rows.add_row(name, str(len(manifests)), "ok" if not found else f"{len(found)} complaints")
        trouble += [f"{name}: {line}" for line in found]
    for name in _EXAMPLES:
        manifests = helm.example(name)
        found = [line for manifest in manifests for line in complaints(manifest)]
        rows.add_row(name, str(len(manifests)), "ok" if not found else f"{len(found)} complaints")
        trouble += [f"{name}: {line}" for line in found]
    out.print(f"Helm {helm.version()}, schemas of Kubernetes {' and '.join(KUBERNETES)}")
    out.print(rows)
    for line in trouble:
        out.print(f"[red]{escape(line)}[/red]")
    return 1 if trouble else 0


if __name__ == "__main__":
    sys.exit(main())
