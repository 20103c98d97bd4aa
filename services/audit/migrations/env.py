"""The history of this service's schema."""

from shared.database.migrations import run_environment

run_environment()
