"""Sight: structured logs, metrics, health."""
