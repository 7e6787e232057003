"""What declarations may say, what bodies may hold, and who reads what."""

import json
from collections.abc import Callable
from datetime import date
from functools import partial
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from doorward.kernel.errors import Invalid
from doorward.users import Changes, CoreRead, Declaration, NewUser, Schema, User, check_declarations
from doorward.users.fields import CORE
from tests.support.hostile import hostile_strings

TODAY = date(2026, 11, 23)
FITNESS = {
    "tracking": Declaration(type="json"),
    "exercise": Declaration(type="json", max_bytes=100),
    "coins": Declaration(type="integer", write="app", read="public", sortable=True, minimum=0, default=0),
    "weight": Declaration(type="number", minimum=0.5, maximum=500),
    "motto": Declaration(type="string", min_length=2, max_length=200, read="members"),
    "member_since": Declaration(type="date", minimum="2000-01-01", write="admin"),
    "news": Declaration(type="boolean"),
}
SCHEMA = Schema(FITNESS)
ADA: dict[str, Any] = {"uid": "ada", "name": "Ada Lovelace"}


def sign_up(_schema: Schema = SCHEMA, **fields: object) -> NewUser:
    return _schema.validate_sign_up({**ADA, **fields}, today=TODAY)


def codes(body: object, schema: Schema = SCHEMA) -> dict[str, str]:
    with pytest.raises(Invalid) as refused:
        schema.validate_sign_up(body, today=TODAY)
    assert all(error.text for error in refused.value.errors)
    return {error.field: error.code for error in refused.value.errors}


# Declarations -------------------------------------------------------------------------------------------------------


def test_the_fields_of_the_example_are_declared_well() -> None:
    assert check_declarations(FITNESS) == []


@pytest.mark.parametrize(
    ("name", "declared", "key"),
    [
        ("Coins", Declaration(type="integer"), "Coins"),
        ("a" * 41, Declaration(type="integer"), "a" * 41),
        ("9lives", Declaration(type="integer"), "9lives"),
        ("email", Declaration(type="string"), "email"),
        ("password", Declaration(type="string"), "password"),
        ("roles", Declaration(type="json"), "roles"),
        ("rank", Declaration(type="integer"), "rank"),
        ("x", Declaration(type="json", sortable=True), "x.sortable"),
        ("x", Declaration(type="boolean", sortable=True), "x.sortable"),
        ("x", Declaration(type="string", sortable=True), "x.max_length"),
        ("x", Declaration(type="string", minimum=3), "x.minimum"),
        ("x", Declaration(type="string", minimum="a", maximum=3), "x.minimum"),
        ("x", Declaration(type="integer", max_length=3), "x.max_length"),
        ("x", Declaration(type="integer", max_bytes=3), "x.max_bytes"),
        ("x", Declaration(type="integer", minimum=3, maximum=2), "x.minimum"),
        ("x", Declaration(type="integer", minimum="3"), "x.minimum"),
        ("x", Declaration(type="integer", maximum=2**63), "x.maximum"),
        ("x", Declaration(type="integer", maximum=1.5), "x.maximum"),
        ("x", Declaration(type="number", maximum=float("inf")), "x.maximum"),
        ("x", Declaration(type="date", minimum="2000-02-30"), "x.minimum"),
        ("x", Declaration(type="date", minimum=2000), "x.minimum"),
        ("x", Declaration(type="date", minimum="2001-01-01", maximum="2000-01-01"), "x.minimum"),
        ("x", Declaration(type="string", min_length=-1), "x.min_length"),
        ("x", Declaration(type="string", min_length=9, max_length=8), "x.min_length"),
        ("x", Declaration(type="string", max_length=0), "x.max_length"),
        ("x", Declaration(type="json", max_bytes=1), "x.max_bytes"),
        ("x", Declaration(type="integer", default=True), "x.default"),
        ("x", Declaration(type="integer", default="0"), "x.default"),
        ("x", Declaration(type="integer", minimum=1, default=0), "x.default"),
        ("x", Declaration(type="string", max_length=2, default="abc"), "x.default"),
        ("x", Declaration(type="integer", required=True, default=1), "x.default"),
        ("x", Declaration(type="integer", required=True, write="app"), "x.required"),
    ],
)
def test_a_wrong_declaration_is_named(name: str, declared: Declaration, key: str) -> None:
    problems = check_declarations({name: declared})
    assert any(problem.startswith(f"{key}: ") for problem in problems), problems


def test_all_wrong_declarations_are_named_at_once() -> None:
    wrong = {"Bad": Declaration(type="json", sortable=True), "id": Declaration(type="string", minimum=1)}
    assert len(check_declarations(wrong)) == 4


# Sign-up ------------------------------------------------------------------------------------------------------------


def test_values_are_kept_as_they_were_sent_and_defaults_are_added() -> None:
    new = sign_up(
        name="  José ", email="Ada@Example.org", dob="1990-12-10", tracking={"a": [1, None, "x\n"]}, weight=71.5
    )
    assert new == NewUser(
        uid="ada",
        name="  José ",
        email="Ada@Example.org",
        dob="1990-12-10",
        fields={"coins": 0, "tracking": {"a": [1, None, "x\n"]}, "weight": 71.5},
    )


def test_null_is_no_value() -> None:
    assert sign_up(email=None, dob=None, motto=None) == sign_up()


@pytest.mark.asvs("15.3.3")
def test_every_bad_field_is_named_at_once() -> None:
    body = {
        "uid": "a",
        "name": " a ",
        "email": "nowhere",
        "dob": "2026-02-30",
        "tracking": {"x": "\x00"},
        "exercise": ["x" * 200],
        "coins": 5,
        "weight": True,
        "motto": 7,
        "member_since": "2020-01-01",
        "news": "yes",
        "role": "admin",
        "roles": ["admin"],
        "email_verified": True,
        "id": "x",
    }
    assert codes(body) == {
        "uid": "too_short",
        "name": "too_short",
        "email": "not_an_email",
        "dob": "not_a_date",
        "tracking": "unstorable",
        "exercise": "too_large",
        "coins": "not_writable",
        "weight": "wrong_type",
        "motto": "wrong_type",
        "member_since": "not_writable",
        "news": "wrong_type",
        "role": "unknown_field",
        "roles": "not_writable",
        "email_verified": "not_writable",
        "id": "not_writable",
    }


@pytest.mark.parametrize("body", [None, [], "x", 5, True, [{"uid": "ada"}]])
def test_anything_but_an_object_is_refused(body: object) -> None:
    assert codes(body) == {"": "wrong_type"}


@pytest.mark.parametrize(
    ("uid", "code"),
    [
        (None, "required"),
        ("", "required"),
        ("a", "too_short"),
        ("e\u0301", "too_short"),
        ("a" * 65, "too_long"),
        ("\ufdfa" * 64, "too_long"),
        ("ada lovelace", "space"),
        (" ada", "space"),
        ("ada\u3000x", "space"),
        ("ada@example.org", "at_sign"),
        ("ada\uff20example.org", "at_sign"),
        ("+49 171 1234567", "space"),
        ("+491711234567", "like_a_phone_number"),
        ("0171-1234567", "like_a_phone_number"),
        ("ad\u200ba", "invisible_character"),
        ("\u3164\u3164", "invisible_character"),
        ("\u0301\u0302", "not_visible"),
        ("ada\nx", "line_break"),
        ("ada\x00", "control_character"),
        ("ada\u202egnp", "direction_override"),
        ("ada\ud800", "half_character"),
        (5, "wrong_type"),
        (["ada"], "wrong_type"),
        (True, "wrong_type"),
    ],
)
def test_a_bad_uid_is_refused_with_the_reason(uid: object, code: str) -> None:
    assert codes({**ADA, "uid": uid}) == {"uid": code}


@pytest.mark.parametrize("uid", ["ab", "Ada_99", "ada.l", "用户", "😀😀", "123456", "quiet10", "a" * 64, "<b>", "اسم"])
def test_other_uids_are_fine(uid: str) -> None:
    assert sign_up(uid=uid).uid == uid


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("", "required"),
        ("   ", "too_short"),
        ("A", "too_short"),
        (" A ", "too_short"),
        ("a" * 65, "too_long"),
        ("\u3164\u3164", "not_visible"),
        ("Ada\nL", "line_break"),
        ("Ada\u2066", "direction_override"),
        ({}, "wrong_type"),
    ],
)
def test_a_bad_name_is_refused_with_the_reason(name: object, code: str) -> None:
    assert codes({**ADA, "name": name}) == {"name": code}


@pytest.mark.parametrize(
    ("dob", "code"),
    [
        ("2026-11-24", "in_the_future"),
        ("1899-12-31", "out_of_range"),
        ("0000-01-01", "not_a_date"),
        ("2023-02-29", "not_a_date"),
        ("19900101", "not_a_date"),
        ("1990-1-1", "not_a_date"),
        ("1990-01-01T00:00:00Z", "not_a_date"),
        ("1990-W01-1", "not_a_date"),
        ("١٩٩٠-٠١-٠١", "not_a_date"),
        ("", "not_a_date"),
        (19900101, "wrong_type"),
    ],
)
def test_a_bad_date_of_birth_is_refused_with_the_reason(dob: object, code: str) -> None:
    assert codes({**ADA, "dob": dob}) == {"dob": code}


@pytest.mark.parametrize("dob", ["2026-11-23", "1900-01-01", "2024-02-29"])
def test_the_first_and_the_last_day_are_fine(dob: str) -> None:
    assert sign_up(dob=dob).dob == dob


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("weight", 0.4, "out_of_range"),
        ("weight", 501, "out_of_range"),
        ("weight", 2**64, "out_of_range"),
        ("weight", float("nan"), "wrong_type"),
        ("weight", float("inf"), "wrong_type"),
        ("weight", "71", "wrong_type"),
        ("motto", "x", "too_short"),
        ("motto", "x" * 201, "too_long"),
        ("motto", "x\x00y", "control_character"),
        ("motto", "\ud800xx", "half_character"),
        ("news", 1, "wrong_type"),
        ("news", 0, "wrong_type"),
        ("tracking", [[2**64]], "wrong_type"),
        ("tracking", {"a\x00": 1}, "unstorable"),
        ("tracking", ["\udfff"], "unstorable"),
        ("tracking", [float("nan")], "wrong_type"),
    ],
)
def test_a_bad_custom_value_is_refused_with_the_reason(field: str, value: object, code: str) -> None:
    assert codes({**ADA, field: value}) == {field: code}


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (True, "wrong_type"),
        (1.0, "wrong_type"),
        ("1", "wrong_type"),
        (2**63, "out_of_range"),
        (-(2**63) - 1, "out_of_range"),
    ],
)
def test_only_a_whole_number_of_64_bits_is_an_integer(value: object, code: str) -> None:
    schema = Schema({"age": Declaration(type="integer")})
    assert codes({**ADA, "age": value}, schema) == {"age": code}


def test_zero_is_a_value_where_one_is_required() -> None:
    schema = Schema({"age": Declaration(type="integer", required=True)})
    assert sign_up(schema, age=0).fields == {"age": 0}
    assert codes(ADA, schema) == {"age": "required"}


def test_a_required_box_must_be_ticked_and_a_required_text_not_be_empty() -> None:
    schema = Schema(
        {"terms": Declaration(type="boolean", required=True), "city": Declaration(type="string", required=True)}
    )
    assert codes({**ADA, "terms": False, "city": ""}, schema) == {"terms": "required", "city": "required"}


def test_json_may_be_30_levels_deep_and_no_deeper_however_deep() -> None:
    def nested(levels: int) -> object:
        value: object = 1
        for _ in range(levels):
            value = [value]
        return value

    assert sign_up(tracking=nested(30)).fields["tracking"] == nested(30)
    assert codes({**ADA, "tracking": nested(31)}) == {"tracking": "too_deep"}
    assert codes({**ADA, "tracking": nested(100_000)}) == {"tracking": "too_deep"}


def test_names_that_are_not_fields_are_listed_up_to_a_hundred() -> None:
    with pytest.raises(Invalid) as refused:
        SCHEMA.validate_sign_up({**ADA, **{f"x{number}": 1 for number in range(5000)}}, today=TODAY)
    assert len(refused.value.errors) == 100


def test_the_answer_to_an_unprintable_name_can_be_encoded() -> None:
    with pytest.raises(Invalid) as refused:
        SCHEMA.validate_sign_up({**ADA, "\ud800" * 500: 1}, today=TODAY)
    json.dumps(refused.value.members, ensure_ascii=False).encode()
    assert len(refused.value.errors[0].field) <= 80


ANY_TEXT = st.text(alphabet=st.characters(codec=None))
ANY_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | ANY_TEXT
    | st.sampled_from(["2026-01-01", "ada", "a@b.cd"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(ANY_TEXT, inner, max_size=4),
    max_leaves=10,
)
NAMES = st.sampled_from([*FITNESS, *CORE, "id", "roles", "password"]) | ANY_TEXT


def refusals(validate: Callable[[], NewUser | Changes]) -> tuple[NewUser | Changes | None, list[str]]:
    """What was accepted, or the names of the refused fields."""
    try:
        return validate(), []
    except Invalid as refused:
        return None, [error.field for error in refused.errors if error.text.encode()]


@settings(max_examples=400)
@given(st.dictionaries(NAMES, ANY_JSON, max_size=8) | ANY_JSON)
def test_any_json_is_accepted_or_refused_and_nothing_else(body: object) -> None:
    for validate in (
        lambda: SCHEMA.validate_sign_up(body, today=TODAY),
        lambda: SCHEMA.validate_update(body, "user", "u1", today=TODAY),
        lambda: SCHEMA.validate_update(body, "admin", "u1", today=TODAY),
    ):
        accepted, refused = refusals(validate)
        assert (accepted is None) == bool(refused)
        if accepted is not None:
            # Whatever is accepted can be stored: in UTF-8, as JSON, without NUL.
            stored = json.dumps(accepted.fields, ensure_ascii=False, allow_nan=False)
            assert "\\u0000" not in stored
            assert json.loads(stored.encode()) == accepted.fields


@settings(max_examples=200)
@given(ANY_JSON, st.sampled_from(list(FITNESS)))
def test_what_is_wrong_with_one_field_is_said_of_that_field(value: object, name: str) -> None:
    accepted, refused = refusals(lambda: SCHEMA.validate_update({name: value}, "admin", "u1", today=TODAY))
    if accepted is None:
        assert refused == [name]
    else:
        assert accepted.fields == {name: value}


@pytest.mark.parametrize("name", ["uid", "name", "email", "dob", "motto", "tracking"])
def test_a_hostile_string_is_kept_as_sent_or_refused_with_a_reason(name: str) -> None:
    for hostile in hostile_strings():
        accepted, refused = refusals(partial(SCHEMA.validate_sign_up, {**ADA, name: hostile}, today=TODAY))
        if accepted is None:
            assert refused == [name], ascii(hostile)
        else:
            assert isinstance(accepted, NewUser)
            assert hostile in (accepted.fields.get(name), getattr(accepted, name, None)), ascii(hostile)


# Changes ------------------------------------------------------------------------------------------------------------


def test_owners_change_their_own_fields_only() -> None:
    changes = SCHEMA.validate_update(
        {"id": "u1", "name": "Ada", "email": None, "tracking": None, "weight": 3}, "user", "u1", today=TODAY
    )
    assert (changes.core, changes.fields) == ({"name": "Ada", "email": None}, {"tracking": None, "weight": 3})


@pytest.mark.asvs("15.3.3")
@pytest.mark.parametrize(
    "name", ["coins", "member_since", "uid", "roles", "status", "legacy_id", "version", "password"]
)
def test_owners_do_not_change_what_is_not_theirs(name: str) -> None:
    with pytest.raises(Invalid) as refused:
        SCHEMA.validate_update({name: 1}, "user", "u1", today=TODAY)
    assert [(error.field, error.code) for error in refused.value.errors] == [(name, "not_writable")]


def test_an_app_writes_its_fields_and_no_core_field() -> None:
    assert SCHEMA.validate_update({"coins": 5, "weight": 7}, "app", "u1", today=TODAY).fields == {
        "coins": 5,
        "weight": 7,
    }
    with pytest.raises(Invalid) as refused:
        SCHEMA.validate_update({"name": "Eve", "member_since": "2020-01-01", "coins": -1}, "app", "u1", today=TODAY)
    assert {error.field: error.code for error in refused.value.errors} == {
        "name": "not_writable",
        "member_since": "not_writable",
        "coins": "out_of_range",
    }


def test_an_administrator_writes_every_field_but_never_the_machinery() -> None:
    body = {"uid": "eve", "name": "Eve", "coins": 5, "member_since": "2020-01-01", "motto": "on"}
    assert len(SCHEMA.validate_update(body, "admin", "u1", today=TODAY).fields) == 3
    with pytest.raises(Invalid):
        SCHEMA.validate_update({"roles": ["admin"]}, "admin", "u1", today=TODAY)


@pytest.mark.parametrize("name", ["name", "uid"])
def test_what_is_required_is_never_taken_away(name: str) -> None:
    with pytest.raises(Invalid) as refused:
        SCHEMA.validate_update({name: None}, "admin", "u1", today=TODAY)
    assert refused.value.errors[0].code == "required"


@pytest.mark.parametrize("sent", ["u2", 1, None, ["u1"]])
def test_the_id_of_somebody_else_is_refused(sent: object) -> None:
    with pytest.raises(Invalid) as refused:
        SCHEMA.validate_update({"id": sent, "name": "Ada"}, "user", "u1", today=TODAY)
    assert [(error.field, error.code) for error in refused.value.errors] == [("id", "mismatch")]


# Reading ------------------------------------------------------------------------------------------------------------

USER = User(
    id="u1",
    uid="ada",
    name="Ada",
    email="ada@example.org",
    email_verified=False,
    dob="1990-12-10",
    status="active",
    roles=("admin",),
    fields={"coins": 7, "motto": "on", "tracking": [1], "forgotten": "from an earlier configuration"},
    legacy_id="flask-portfolio:1",
    version=1,
    created_at=0,
    updated_at=0,
)


@pytest.mark.asvs("15.3.1")
def test_each_reader_sees_what_the_declarations_allow() -> None:
    assert SCHEMA.visible(USER, "public") == {"id": "u1", "coins": 7}
    assert SCHEMA.visible(USER, "member") == {"id": "u1", "uid": "ada", "name": "Ada", "coins": 7, "motto": "on"}
    own = SCHEMA.visible(USER, "self")
    assert own["tracking"] == [1]
    assert own["weight"] is None
    assert (own["email"], own["email_verified"], own["dob"]) == ("ada@example.org", False, "1990-12-10")
    assert (own["status"], own["roles"], own["created_at"]) == ("active", ["admin"], "1970-01-01T00:00:00.000Z")
    assert "legacy_id" not in own
    assert "forgotten" not in own
    assert SCHEMA.visible(USER, "admin")["legacy_id"] == "flask-portfolio:1"


def test_a_claimed_address_is_shown_to_nobody_else() -> None:
    schema = Schema({}, CoreRead(email="public", uid="public"))
    assert schema.visible(USER, "public") == {"id": "u1", "uid": "ada", "email": None}


# Forms --------------------------------------------------------------------------------------------------------------


def test_a_form_carries_the_limits_and_sentences_of_the_validation() -> None:
    fields = {field.name: field for field in SCHEMA.form_fields("profile", USER)}
    assert list(fields) == ["name", "dob", "tracking", "exercise", "weight", "motto", "news"]
    assert fields["name"].value == "Ada"
    assert (fields["name"].attributes["minlength"], fields["name"].attributes["maxlength"]) == ("2", "64")
    assert fields["tracking"].type == "textarea"
    assert json.loads(fields["tracking"].value) == [1]
    assert fields["weight"].attributes == {"min": "0.5", "max": "500", "step": "any"}
    assert fields["news"].type == "checkbox"
    for field in fields.values():
        for sentence in field.messages.values():
            assert sentence % field.params


def test_a_form_for_sign_up_asks_for_little() -> None:
    schema = Schema({"city": Declaration(type="string", required=True), "motto": Declaration(type="string")})
    assert [field.name for field in schema.form_fields("sign_up")] == ["uid", "name", "email", "city"]


def test_what_a_form_sends_becomes_the_body_that_json_would_have() -> None:
    sent = {"csrf_token": "x", "name": " Ada ", "email": " a@b.cd ", "dob": "", "tracking": '{"a": [1]}',
            "weight": "3.5", "motto": "", "exercise": " "}  # fmt: skip
    assert SCHEMA.from_form(sent, "profile") == {
        "name": " Ada ",
        "email": "a@b.cd",
        "dob": None,
        "tracking": {"a": [1]},
        "exercise": None,
        "weight": 3.5,
        "motto": None,
        "news": False,
    }
    assert SCHEMA.from_form({**sent, "news": "true"}, "profile")["news"] is True


@pytest.mark.parametrize(
    ("name", "typed", "code"),
    [
        ("tracking", "{", "not_json"),
        ("tracking", '{"a":1,"a":2}', "not_json"),
        ("tracking", "\ud800", "not_json"),
        ("weight", "heavy", "wrong_type"),
        ("weight", "1e999", "wrong_type"),
        ("weight", "٣", "wrong_type"),
        ("dob", "tomorrow", "not_a_date"),
    ],
)
def test_what_a_form_sends_wrongly_is_refused_by_validation(name: str, typed: str, code: str) -> None:
    body = SCHEMA.from_form({"name": "Ada", name: typed}, "profile")
    with pytest.raises(Invalid) as refused:
        SCHEMA.validate_update(body, "user", "u1", today=TODAY)
    assert [(error.field, error.code) for error in refused.value.errors] == [(name, code)]


@pytest.mark.parametrize("typed", ["0", "-5", "+7", "9223372036854775807"])
def test_whole_numbers_come_from_a_form(typed: str) -> None:
    schema = Schema({"age": Declaration(type="integer")})
    assert schema.from_form({"age": typed}, "profile")["age"] == int(typed)


def test_labels_and_hints_of_operators_are_no_format_strings() -> None:
    schema = Schema({"share": Declaration(type="number", label="Share in %", hint="100 %s at most")})
    (field,) = schema.form_fields("profile")[2:]
    assert (field.label % field.params, field.hint % field.params) == ("Share in %", "100 %s at most")
    with pytest.raises(Invalid) as refused:
        schema.validate_update({"share": "x"}, "user", "u1", today=TODAY)
    assert refused.value.detail == "Share in % must be a number"


def test_facts_are_what_owners_read_but_do_not_write() -> None:
    assert SCHEMA.facts(USER) == [{"label": "Coins", "value": "7"}, {"label": "Member since", "value": ""}]


@pytest.mark.parametrize("kind", ["sign_up", "update", "user", "page"])
def test_every_document_is_json(kind: Literal["sign_up", "update", "user", "page"]) -> None:
    document = SCHEMA.json_schema(kind)
    assert json.loads(json.dumps(document))["type"] == "object"


def test_documents_name_the_fields_of_bodies() -> None:
    assert set(SCHEMA.json_schema("sign_up")["properties"]) == {
        "uid", "name", "email", "dob", "password", "tracking", "exercise", "weight", "motto", "news"
    }  # fmt: skip
