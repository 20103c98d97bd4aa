"""Audit: owns the log of everything that happened (schema `audit`): append-only, and chained so that edits show.

Consumes `transfer.screened`, `transfer.settled`, `account.changed` and `activity.recorded`; publishes nothing. Each
event is one row, recorded once, in order of arrival. `verify` names the first row that was tampered with.
"""
