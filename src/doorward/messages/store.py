"""SQL of the messages room: table message."""

from collections.abc import Callable, Mapping

from sqlalchemy import bindparam as p
from sqlalchemy import insert

from doorward.sql import Statement, Value, Work
from doorward.sql.tables import message

_INSERT = Statement(insert(message).values({column.name: p(column.name) for column in message.columns}))


def insert_message(values: Mapping[str, Value], committed: Callable[[], None]) -> Work[None]:
    """Add a row; `values` has every column. `committed` is called once it is durable."""
    yield _INSERT(**values).then(committed)
