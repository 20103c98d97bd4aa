"""Mechanism and contracts that every service shares; never a business rule, never a service's table."""
