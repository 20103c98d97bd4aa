"""The one way to write a value down, so that the same row gives the same bytes when it is stored and when it is read.

Times are RFC 3339 in UTC, with six decimals of the second or, where all are zero, none. JSON has sorted keys and no
spaces: the bytes are those of `json.dumps(…, sort_keys=True, separators=(",", ":"), ensure_ascii=False)` in UTF-8.
Details hold text, whole numbers, truth values, lists and objects: what `jsonb` gives back exactly as it took it.
"""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import msgspec

encode = msgspec.json.Encoder(order="sorted").encode
# A fraction comes back as its text: a float would not survive `jsonb` unchanged.
decode = msgspec.json.Decoder(float_hook=str).decode


class Entry(NamedTuple):
    """A row of the log before it has its place in the chain, in the order of the canonical form."""

    event_id: UUID
    occurred_at: datetime
    user_id: UUID | None
    action: str
    resource_type: str
    resource_id: str | None
    status: str
    ip_address: str | None
    user_agent: str | None
    request_id: str
    details: msgspec.Raw
    error_message: str | None


# The one column that is not stored as it stands in an entry: `jsonb` is written and read as text.
DETAILS = Entry._fields.index("details")


def stored_details(text: str | bytes) -> msgspec.Raw:
    """Details as `jsonb` shows them, in canonical form again.

    Raises:
        ValueError: they are not what could have been recorded.
    """
    try:
        return msgspec.Raw(encode(decode(text)))
    except (msgspec.MsgspecError, RecursionError) as error:
        raise ValueError(str(error)) from None
