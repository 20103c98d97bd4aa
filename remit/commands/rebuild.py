"""`remit rebuild ledger`: the ledger made anew from transfer's rows, compared, and put in place if that is asked."""

from __future__ import annotations

import argparse

from remit.console import console, table
from remit.environment import Settings
from remit.errors import EXIT_FAILED, EXIT_OK
from remit.rebuild.ledger import rebuild


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What `remit rebuild` takes."""
    parser.add_argument("what", choices=["ledger"], help="what is made anew")
    parser.add_argument("--apply", action="store_true", help="put it in the place of what stands, if the two differ")


async def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Says how what stands differs; answers 0 if it does not, or does not any more."""
    out = console()
    found = await rebuild(settings.environment, apply=arguments.apply)
    said = ", ".join(f"{count:,} {what}" for what, count in found.differences.items()) or "no difference"
    out.print(f"{found.entries:,} entries made anew and proven; in the ledger: {said}", highlight=False)
    rows = table("", "account", ">position", "transfer", "side")
    for row in found.first:
        rows.add_row(
            row["what"], str(row["account_id"]), str(row["account_seq"]), str(row["transfer_id"]), row["direction"]
        )
    if found.differences:
        out.print(rows)
    if found.is_in_place:
        out.print("the ledger is the one made anew", highlight=False)
        return EXIT_OK
    if found.differences:
        out.print("nothing was changed; --apply puts the one made anew in its place", highlight=False)
    return EXIT_FAILED if found.differences else EXIT_OK
