"""Ledger: owns the entries (schema `ledger`), two a completed transfer, which explain every balance to the cent.

Consumes `transfer.settled`; publishes nothing. The entries are a projection of what the settling transaction stored:
they may arrive in any order, twice, or long after, and come out the same.
"""
