"""A statement is written once and compiled for both databases."""

import pytest
from sqlalchemy import Text, bindparam, delete, or_, select, update

from doorward.sql import Dialect, Statement, insert
from doorward.sql.statement import Compiled
from doorward.sql.tables import throttle, users


def compiled(statement: Statement, dialect: Dialect) -> Compiled:
    return statement.sqlite if dialect == "sqlite" else statement.postgresql


both = pytest.mark.parametrize("dialect", ["sqlite", "postgresql"])


@both
def test_values_stand_in_the_order_of_their_places(dialect: Dialect) -> None:
    statement = Statement(
        update(users)
        .where(users.c.id == bindparam("id"))
        .values(name=bindparam("name"), version=users.c.version + 1)
        .returning(users.c.version)
    )
    assert statement(id="7", name="Ada").bound(compiled(statement, dialect)) == ("Ada", 1, "7")


@both
def test_none_is_a_value_to_write_and_to_give(dialect: Dialect) -> None:
    literal = Statement(insert(users).values(id=bindparam("id"), dob=None))
    given = Statement(insert(users).values(id=bindparam("id"), dob=bindparam("dob")))
    assert literal(id="7").bound(compiled(literal, dialect)) == ("7", None)
    assert given(id="7", dob=None).bound(compiled(given, dialect)) == ("7", None)


@both
def test_an_insert_without_values_asks_for_every_column(dialect: Dialect) -> None:
    assert compiled(Statement(insert(throttle)), dialect).required == {"key", "failures", "not_before", "expires_at"}


@both
def test_literals_need_no_names(dialect: Dialect) -> None:
    statement = Statement(select(users.c.id).where(users.c.status == "active").limit(10))
    query = statement()
    assert query.bound(compiled(statement, dialect))[:2] == ("active", 10)


@both
def test_a_literal_list_gets_a_place_for_each_value(dialect: Dialect) -> None:
    statement = Statement(
        delete(users).where(users.c.status.in_(["active", "disabled"]), users.c.id == bindparam("id"))
    )
    assert sorted(map(str, statement(id="7").bound(compiled(statement, dialect)))) == ["7", "active", "disabled"]


@both
def test_a_name_may_be_used_twice(dialect: Dialect) -> None:
    wanted = bindparam("wanted", type_=Text())
    statement = Statement(select(users.c.id).where(or_(users.c.id == wanted, users.c.uid_key == wanted)))
    assert set(statement(wanted="ada").bound(compiled(statement, dialect))) == {"ada"}


@both
def test_a_missing_or_surplus_name_is_an_error_that_shows_no_value(dialect: Dialect) -> None:
    statement = Statement(select(users.c.name).where(users.c.id == bindparam("id")))
    with pytest.raises(TypeError, match=r"missing parameters \['id'\], surplus parameters \['ID'\]") as caught:
        statement(ID="secret").bound(compiled(statement, dialect))
    assert "secret" not in str(caught.value)


@both
def test_a_literal_cannot_be_overridden(dialect: Dialect) -> None:
    statement = Statement(select(users.c.name).where(users.c.status == "active"))
    (name,) = compiled(statement, dialect).fixed
    with pytest.raises(TypeError, match="surplus"):
        statement(**{name: "disabled"}).bound(compiled(statement, dialect))


@both
def test_a_list_of_unknown_length_is_refused(dialect: Dialect) -> None:
    statement = Statement(select(users.c.name).where(users.c.id.in_(bindparam("ids"))))
    with pytest.raises(TypeError, match="unknown length"):
        compiled(statement, dialect)


def test_each_dialect_is_compiled_once() -> None:
    statement = Statement(select(users.c.name))
    assert statement.sqlite is statement.sqlite
    assert statement.postgresql is statement.postgresql
