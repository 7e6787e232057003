"""SQL of the setup room: table setup_link."""

from sqlalchemy import bindparam as p
from sqlalchemy import delete, insert, select, update

from doorward.kernel.instant import Instant
from doorward.sql import Statement, Work
from doorward.sql.tables import setup_link

_INSERT = Statement(
    insert(setup_link)
    .values(token_digest=p("digest"), created_at=p("now"), expires_at=p("until"), used_at=None)
    .returning(setup_link.c.created_at)
)
_DELETE_UNUSED = Statement(delete(setup_link).where(setup_link.c.used_at.is_(None)).returning(setup_link.c.created_at))
_FIND_OPEN = Statement(
    select(setup_link.c.created_at).where(
        setup_link.c.token_digest == p("digest"), setup_link.c.used_at.is_(None), setup_link.c.expires_at > p("now")
    )
)
_USE = Statement(
    update(setup_link)
    .where(setup_link.c.token_digest == p("digest"), setup_link.c.used_at.is_(None), setup_link.c.expires_at > p("now"))
    .values(used_at=p("now"))
    .returning(setup_link.c.created_at)
)


def insert_link(digest: bytes, now: Instant, until: Instant) -> Work[None]:
    """Keep a new link's digest; earlier unused ones die."""
    yield _DELETE_UNUSED()
    yield _INSERT(digest=digest, now=now, until=until)


def find_open(digest: bytes, now: Instant) -> Work[bool]:
    """Whether a link could still be used."""
    return bool((yield _FIND_OPEN(digest=digest, now=now)))


def use_link(digest: bytes, now: Instant) -> Work[bool]:
    """Consume a link; True for exactly one caller."""
    return bool((yield _USE(digest=digest, now=now)))
