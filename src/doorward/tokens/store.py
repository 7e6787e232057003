"""The SQL of the signing keys."""

from sqlalchemy import bindparam, delete, insert, select, update
from sqlalchemy.dialects import postgresql

from doorward.kernel.instant import Instant
from doorward.sql import Statement, Work
from doorward.sql.tables import setting, signing_key
from doorward.tokens.model import SigningKey

_NAMES = tuple(column.name for column in signing_key.columns)

# The dialect's insert, because Core's own has no ON CONFLICT; both databases read the same words.
INSERT_SETTING = Statement(
    postgresql.insert(setting)
    .values(key=bindparam("key"), value=bindparam("value"))
    .on_conflict_do_nothing(index_elements=["key"])
    .returning(setting.c.key)
)
INSERT_KEY = Statement(insert(signing_key).values({name: bindparam(name) for name in _NAMES}))
RETIRE_KEYS = Statement(
    update(signing_key)
    .where(
        signing_key.c.alg == bindparam("of_alg"),
        signing_key.c.kid != bindparam("kept"),
        signing_key.c.retired_at.is_(None),
    )
    .values(retired_at=bindparam("at"))
)
DELETE_RETIRED = Statement(
    delete(signing_key).where(signing_key.c.retired_at.is_not(None), signing_key.c.retired_at <= bindparam("now"))
)
LIST_KEYS = Statement(select(*signing_key.columns).order_by(signing_key.c.active_from, signing_key.c.kid))


def list_keys() -> Work[list[SigningKey]]:
    """Find all keys, those that sign first before those that sign later."""
    rows = yield LIST_KEYS()
    return [SigningKey(*row) for row in rows]


def insert_first_key(key: SigningKey) -> Work[None]:
    """Add the installation's first key of its algorithm, unless another process was faster.

    The setting's primary key decides: of any number of processes on any number of nodes exactly one inserts it, the
    others wait for that commit and then insert nothing.
    """
    first = yield INSERT_SETTING(key=f"first_signing_key:{key.alg}", value=key.kid)
    if first:
        yield from insert_key(key)


def insert_next_key(old_kid: str, key: SigningKey, old_retires_at: Instant) -> Work[None]:
    """Add the key that follows `old_kid`, unless another process was faster, and say until when the old are believed.

    As with the first key, the setting's primary key decides.
    """
    first = yield INSERT_SETTING(key=f"next_signing_key:{old_kid}", value=key.kid)
    if first:
        yield from insert_key(key)
        yield RETIRE_KEYS(of_alg=key.alg, kept=key.kid, at=old_retires_at)


def delete_retired_keys(now: Instant) -> Work[None]:
    """Destroy keys that nobody believes any more."""
    yield DELETE_RETIRED(now=now)


def insert_key(key: SigningKey) -> Work[None]:
    """Add a key."""
    yield INSERT_KEY(**{name: getattr(key, name) for name in _NAMES})
