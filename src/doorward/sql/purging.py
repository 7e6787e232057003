"""Rows that are over leave a thousand at a time, so that no transaction grows with what has piled up."""

from typing import Any, Final

from sqlalchemy import Column, ColumnElement, delete, select

from doorward.sql.statement import Statement

PURGE_AT_ONCE: Final = 1_000


def purge(key: Column[Any], over: ColumnElement[bool]) -> Statement:
    """Delete at most PURGE_AT_ONCE rows of the table of `key`, its primary key, that are `over`; gives their keys.

    Whoever is given as many as that comes again.
    """
    some = select(key).where(over).limit(PURGE_AT_ONCE).scalar_subquery()
    return Statement(delete(key.table).where(key.in_(some)).returning(key))
