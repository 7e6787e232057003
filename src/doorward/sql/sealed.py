"""Which columns are sealed, and for what.

A `LargeBinary` column whose name ends in `_sealed` holds what `ports.Sealer.seal` made for `purpose_of` its row; where
nothing is kept, NULL or no byte. So whoever knows only the schema can seal a row anew, and no column that is added
later can be forgotten.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from sqlalchemy import Column, LargeBinary

from doorward.sql.tables import metadata


def _columns() -> Iterator[Column[bytes]]:
    for table in metadata.sorted_tables:
        for column in table.columns:
            if isinstance(column.type, LargeBinary) and column.name.endswith("_sealed"):
                yield column


SEALED: Final[Mapping[str, Column[bytes]]] = {column.table.name: column for column in _columns()}  # by table, one each


def purpose_of(table: str, key: str) -> str:
    """What a row's value is sealed for: it opens in no other row. `key`: the row's primary key.

    Raises KeyError for a table that seals nothing.
    """
    if table not in SEALED:
        raise KeyError(table)
    return f"{table}:{key}"
