"""Sight: structured logs, metrics, traces, health."""
