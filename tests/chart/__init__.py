"""The chart of `deploy/helm` as Helm renders it, without a cluster: `python -m tests.chart`, and what holds of it."""
