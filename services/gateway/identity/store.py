"""Rows of `identity` <-> users and activity."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from uuid import UUID

import msgspec

from services.gateway.domain.bodies import UserBody
from services.gateway.errors import EmailTaken, Forbidden, OwnAccess, UserNotFound
from services.gateway.http.tokens import Claims
from shared.contracts.envelope import decode_item, encode_item
from shared.contracts.gateway import ActivityRecorded
from shared.database import Connection, Database, Row, constraint_of, load_queries
from shared.ids import random_id

SQL = load_queries(__file__)

ADMIN = "admin"


class User(msgspec.Struct, frozen=True, kw_only=True):
    """A user as the row has it; owners that an operator made have neither address nor password."""

    id: UUID
    email: str | None
    full_name: str
    role: str
    is_active: bool
    token_version: int
    password_hash: str | None
    created_at: datetime

    @property
    def body(self) -> UserBody:
        return UserBody(
            id=self.id,
            email=self.email,
            full_name=self.full_name,
            role=self.role,
            is_active=self.is_active,
            created_at=self.created_at,
        )


class UserChange(msgspec.Struct, frozen=True, kw_only=True):
    """What an operator changes of a user; None stays as it is."""

    user_id: UUID
    role: str | None
    is_active: bool | None

    @property
    def takes_access(self) -> bool:
        """Whether an operator would no longer be one after it."""
        return self.is_active is False or self.role not in {None, ADMIN}


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """A token's user as he stands now."""

    role: str
    is_active: bool
    token_version: int
    is_revoked: bool


class IdentityStore:
    """The gateway's own schema."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def register(
        self, user_id: UUID, email: str, full_name: str, password_hash: str, act: ActivityRecorded
    ) -> User:
        """A new customer, with the activity that tells of him.

        Raises:
            EmailTaken: there is one with this address.
        """
        try:
            async with self._database.transaction() as connection:
                normalised = normalised_email(email)
                row = await connection.fetchrow(SQL.insert_user, user_id, email, normalised, full_name, password_hash)
                await put_outbox(connection, [act])
        except Exception as error:
            if constraint_of(error) == "user_email_once":
                raise EmailTaken from None
            raise
        return _user(row)

    async def user_by_email(self, email: str) -> User | None:
        """The user with this address, however it is written."""
        row = await self._database.fetchrow(SQL.find_user_by_email, normalised_email(email))
        return None if row is None else _user(row)

    async def user(self, user_id: UUID) -> User | None:
        """The user with this id."""
        row = await self._database.fetchrow(SQL.find_user, user_id)
        return None if row is None else _user(row)

    async def owners_known_as(self, email: str | None, reference: str | None) -> set[UUID]:
        """Who has this address, and who this reference of an operator's."""
        normalised = None if email is None else normalised_email(email)
        return {row["id"] for row in await self._database.fetch(SQL.find_owner, normalised, reference)}

    async def names_of(self, user_ids: Sequence[UUID]) -> dict[UUID, tuple[str | None, str | None]]:
        """Address and reference of each of these users."""
        rows = await self._database.fetch(SQL.owners, list(user_ids))
        return {row["id"]: (row["email"], row["external_reference"]) for row in rows}

    async def change(self, operator_id: UUID, change: UserChange, act_of: Callable[[Row], ActivityRecorded]) -> User:
        """A user as the operator wants him, his tokens ended, with the activity that tells what he was before.

        The operator is looked at again under the lock and stays one, so that there is always at least one.

        Raises:
            UserNotFound: there is none with this id.
            Forbidden: the operator is none any more.
            OwnAccess: he would take his own role or access.
        """
        async with self._database.transaction() as connection:
            rows = await connection.fetch(SQL.lock_users, sorted({operator_id, change.user_id}))
            found = {row["id"]: row for row in rows}
            operator, before = found.get(operator_id), found.get(change.user_id)
            if operator is None or operator["role"] != ADMIN or not operator["is_active"]:
                raise Forbidden
            if before is None:
                raise UserNotFound
            if operator_id == change.user_id and change.takes_access:
                raise OwnAccess
            row = await connection.fetchrow(SQL.change_user, change.user_id, change.role, change.is_active)
            await put_outbox(connection, [act_of(before)])
        return _user(row)

    async def put_admin(self, email: str, password_hash: str, *, after: User | None) -> bool:
        """The operator of the settings, made or brought up to date; False, and nothing done, if he is not as he was
        when `after` was read (None: there was none)."""
        version = None if after is None else after.token_version
        arguments = (random_id(), email, normalised_email(email), password_hash, version)
        return bool(await self._database.fetch(SQL.put_admin, *arguments))

    async def standing(self, tokens: Sequence[Claims]) -> list[Standing | None]:
        """Of each token, in order; None where its user does not exist."""
        rows = await self._database.fetch(
            SQL.standing, [token.sub for token in tokens], [token.jti for token in tokens]
        )
        found: list[Standing | None] = [None] * len(tokens)
        for row in rows:
            found[row["place"] - 1] = Standing(
                role=row["role"],
                is_active=row["is_active"],
                token_version=row["token_version"],
                is_revoked=row["is_revoked"],
            )
        return found

    async def revoke(self, token: Claims, act: ActivityRecorded) -> None:
        """The token is dead from this commit on."""
        async with self._database.transaction() as connection:
            await connection.execute(SQL.revoke_token, token.jti, datetime.fromtimestamp(token.counts_until, UTC))
            await connection.execute(SQL.forget_expired_tokens)
            await put_outbox(connection, [act])

    async def add_owners(
        self, owners: Sequence[tuple[UUID, str]], act_of: Callable[[UUID], ActivityRecorded]
    ) -> set[UUID]:
        """Owners under an operator's references, each new one with the activity that tells of him; who is new."""
        async with self._database.transaction() as connection:
            rows = await connection.fetch(SQL.add_owners, [i for i, _ in owners], [name for _, name in owners])
            made = {row["id"] for row in rows}
            if made:
                await put_outbox(connection, [act_of(owner_id) for owner_id in made])
        return made

    async def put_outbox(self, acts: Sequence[ActivityRecorded]) -> None:
        """Activity that could not be published, or that is told without a write of its own."""
        async with self._database.transaction() as connection:
            await put_outbox(connection, acts)

    async def read_outbox(self, items_max: int) -> list[tuple[int, ActivityRecorded]]:
        """The oldest activity that waits."""
        rows = await self._database.fetch(SQL.read_outbox, items_max)
        read = ((row["position"], decode_item(ActivityRecorded.TYPE, row["item"])) for row in rows)
        return [(position, item) for position, item in read if isinstance(item, ActivityRecorded)]

    async def delete_outbox(self, positions: Sequence[int]) -> None:
        """What the broker has confirmed."""
        await self._database.fetch(SQL.delete_outbox, list(positions))


async def put_outbox(connection: Connection, acts: Sequence[ActivityRecorded]) -> None:
    """Activity, in the transaction of the write it tells of."""
    await connection.execute(SQL.put_outbox, [encode_item(act).decode() for act in acts])


def normalised_email(email: str) -> str:
    """Addresses that people take for the same, whatever their case and Unicode form (UAX 31, NFKC_Casefold).

    Local parts are case-insensitive wherever it matters.
    """
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", email.strip()).casefold())


def _user(row: Row | None) -> User:
    if row is None:  # pragma: no cover - an INSERT … RETURNING gives its row
        raise LookupError("no row")
    return User(**{field: row[field] for field in User.__struct_fields__})
