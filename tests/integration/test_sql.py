"""Every statement of every service, prepared against the migrated schema as the role that will run it."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

import shared.audit_chain.views
import shared.messaging.dead_letters
import shared.reporting.reporter
from deploy.local.stack import Stack
from shared.contracts import topology
from shared.database import load_queries
from shared.settings import SCHEMA_OWNERS

_SERVICES = Path(__file__).resolve().parents[2] / "services"
_OWN_SCHEMA = {service: schema for schema, service in SCHEMA_OWNERS.items()}


# Of these files each statement is run in every schema that has dead letters, or processes that report.
_IN_SCHEMAS = {"dead_letters.sql": topology.CONSUMERS, "instances.sql": tuple(SCHEMA_OWNERS)}


def _statements() -> list[tuple[str, str, str, str]]:
    """The service that runs it, the schema that it runs in, its name and its text."""
    found = []
    for path in sorted(_SERVICES.glob("*/**/*.sql")):
        service = path.relative_to(_SERVICES).parts[0]
        schemas = _IN_SCHEMAS.get(path.name, ()) if path.parent.name == "reads" else ()
        schemas = schemas or (_OWN_SCHEMA[service],)
        for name, text in load_queries(str(path), path.name):
            found += [(service, schema, f"{path.stem}.{name}", text) for schema in schemas]
    found += [("gateway", "audit", f"audit_chain.{name}", text) for name, text in shared.audit_chain.views.SQL]
    for schema, service in SCHEMA_OWNERS.items():
        found += [(service, schema, f"reporting.{name}", text) for name, text in shared.reporting.reporter.SQL]
    for service in topology.CONSUMERS:
        found += [(service, service, f"messaging.{name}", text) for name, text in shared.messaging.dead_letters.SQL]
    return found


@pytest.mark.parametrize(("service", "schema", "name", "statement"), _statements(), ids=lambda value: str(value)[:40])
def test_a_statement_can_be_prepared_and_its_role_may_run_it(
    servers: Stack, service: str, schema: str, name: str, statement: str
) -> None:
    """EXPLAIN plans it and checks the role's privileges, and runs nothing."""
    url = servers.env[f"REMIT_{_OWN_SCHEMA[service].upper()}_POSTGRES_URL"]
    with psycopg.connect(url, options=f"-c search_path={schema}") as connection:
        connection.execute(f"PREPARE checked AS {statement}".encode())
        [[parameters]] = connection.execute(
            "SELECT coalesce(cardinality(parameter_types), 0) FROM pg_prepared_statements"
        ).fetchall()
        arguments = f"({', '.join(['NULL'] * parameters)})" if parameters else ""
        connection.execute(f"EXPLAIN EXECUTE checked{arguments}".encode())
