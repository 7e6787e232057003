"""What a user may say about themselves, and who reads it: one description for bodies, forms, answers and documents."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any, Final, Literal, TypeAlias

from doorward.kernel.errors import FieldError, Invalid
from doorward.kernel.instant import to_rfc3339
from doorward.users import rules
from doorward.users.fields import CORE, INT64, RESERVED, CoreRead, Declaration, Read, Writer, longest
from doorward.users.forms import core_field, custom_field, read_form, value_text
from doorward.users.model import Changes, NewUser, User, Viewer
from doorward.users.rules import Rule
from doorward.web.forms import FormField

Purpose: TypeAlias = Literal["sign_up", "sign_up_by_email", "profile"]
JsonSchema: TypeAlias = Mapping[str, Any]
Document: TypeAlias = Literal["sign_up", "sign_up_by_email", "update", "patch", "user", "page"]
INCREMENT: Final = "increment"

_ON_FORM: Mapping[Purpose, tuple[str, ...]] = {
    "sign_up": ("uid", "name", "email"),
    "sign_up_by_email": ("email", "name", "uid"),
    "profile": ("name", "dob"),
}
_MAY_WRITE: Mapping[Writer, frozenset[Writer]] = {
    "user": frozenset({"user"}),
    "app": frozenset({"user", "app"}),
    "admin": frozenset({"user", "app", "admin"}),
}
_CORE_WRITTEN: Mapping[Writer, tuple[str, ...]] = {"user": ("name", "email", "dob"), "app": (), "admin": CORE}
_READERS: Mapping[Read, frozenset[Viewer]] = {
    "public": frozenset({"public", "member", "self", "admin"}),
    "members": frozenset({"member", "self", "admin"}),
    "private": frozenset({"self", "admin"}),
}
_UNKNOWN_NAMED = 100  # unknown names that an answer lists; a body of nothing else could hold thousands
_NAME_SHOWN = 80
_BODY_LIMIT = 64 * 1024  # without long fields
_BODY_OF_CORE = 16 * 1024
_BYTES_ON_THE_WAY = 12  # of one code point: %F0%9F%90%B1 in a form, \ud83d\udc31 in JSON


@dataclass(frozen=True, slots=True)
class Schema:
    """The core fields and the declared ones."""

    declarations: Mapping[str, Declaration] = field(default_factory=dict)
    core_read: CoreRead = field(default_factory=CoreRead)

    # Validation ---------------------------------------------------------------------------------------------------

    def validate_sign_up(self, body: object, *, today: date) -> NewUser:
        """Check what a newcomer sent, without their password. Raises Invalid naming every bad field."""
        return self._new_user(_as_object(body), [*_core_rules(CORE, today), *self._custom_rules("user")])

    def validate_sign_up_by_email(self, body: object, *, today: date) -> NewUser:
        """The same for someone who signs up with an address. An empty handle or name was left for us to choose."""
        core = [replace(rule, required=rule.name == "email") for rule in _core_rules(CORE, today)]
        return self._new_user(_as_object(body), [*core, *self._custom_rules("user")])

    def validate_import(self, body: object, *, today: date) -> NewUser:
        """Check a record of another system: every field may be there, no custom field must. Raises Invalid."""
        custom = [replace(rule, required=False) for rule in self._custom_rules("admin")]
        return self._new_user(_as_object(body), [*_core_rules(CORE, today), *custom])

    def validate_update(
        self, body: object, writer: Writer, user_id: str, *, today: date, may_increment: bool = False
    ) -> Changes:
        """Check what `writer` wants to change of a user. `id` may be sent when it is `user_id`.

        `may_increment`: a whole number may be {"increment": 5} in place of a value. Raises Invalid naming every bad
        field.
        """
        whole = _as_object(body)
        increments = self._increments(whole) if may_increment else {}
        sent = {name: increments.get(name, value) for name, value in whole.items()}
        allowed = [*_core_rules(_CORE_WRITTEN[writer], today), *self._custom_rules(writer)]
        checked = {rule.name: rule for rule in allowed}
        given = [name for name in checked if name in sent and name not in increments]
        errors = [error for name in given if (error := checked[name].error(sent[name]))]
        if "id" in sent and sent["id"] != user_id:
            errors.append(FieldError("id", "mismatch", "The id must be the one in the address"))
        errors += self._refused_names(sent, {*checked, "id"})
        if errors:
            raise Invalid(errors)
        return Changes(
            {name: sent[name] for name in CORE if name in sent},
            {name: sent[name] for name in self.declarations if name in sent and name not in increments},
            increments,
        )

    def _increments(self, sent: Mapping[str, Any]) -> dict[str, int]:
        """What is to be added, by field; whatever else stands there is judged as a value."""
        return {
            name: value[INCREMENT]
            for name, value in sent.items()
            if name in self.declarations
            and self.declarations[name].type == "integer"
            and isinstance(value, dict)
            and value.keys() == {INCREMENT}
            and type(value[INCREMENT]) is int
            and abs(value[INCREMENT]) <= INT64
        }

    def add(self, user: User, changes: Changes) -> Changes:
        """The changes with every increment as the value that it leads to; who has none begins with the default or 0.

        Raises Invalid naming every field that would leave its range.
        """
        sums = {
            name: (user.fields.get(name, self.declarations[name].default) or 0) + by
            for name, by in changes.increments.items()
        }
        rules_of = {name: rules.custom_rule(name, self.declarations[name], required=False) for name in sums}
        errors = [error for name, value in sums.items() if (error := rules_of[name].error(value))]
        if errors:
            raise Invalid(errors)
        return replace(changes, fields={**changes.fields, **sums}, increments={})

    def _new_user(self, sent: Mapping[str, Any], checked: Sequence[Rule]) -> NewUser:
        errors = [error for rule in checked if (error := rule.error(sent.get(rule.name)))]
        errors += self._refused_names(sent, {rule.name for rule in checked})
        if errors:
            raise Invalid(errors)
        defaults = {name: d.default for name, d in self.declarations.items() if d.default is not None}
        given = {name: sent[name] for name in self.declarations if sent.get(name) is not None}
        uid, name = sent.get("uid") or "", sent.get("name") or ""
        return NewUser(uid, name, sent.get("email"), sent.get("dob"), {**defaults, **given})

    def _custom_rules(self, writer: Writer) -> list[Rule]:
        return [
            rules.custom_rule(name, declared, required=declared.required)
            for name, declared in self.declarations.items()
            if declared.write in _MAY_WRITE[writer]
        ]

    def _refused_names(self, sent: Mapping[str, Any], accepted: set[str]) -> Iterator[FieldError]:
        refused = [name for name in sent if name not in accepted]
        for name in refused[:_UNKNOWN_NAMED]:
            # A name may be anything: half a character in it would spoil the answer.
            shown = name[:_NAME_SHOWN].encode("utf-8", "replace").decode()
            if name in self.declarations or name in RESERVED:
                yield FieldError(shown, "not_writable", "%(name)s cannot be set here", {"name": shown})
            else:
                yield FieldError(shown, "unknown_field", "There is no field %(name)s", {"name": shown})

    # Answers ------------------------------------------------------------------------------------------------------

    def visible(self, user: User, viewer: Viewer) -> dict[str, Any]:
        """What `viewer` may read of `user`, ready for JSON; a declared field without a value is None."""
        shown: dict[str, Any] = {"id": user.id}
        shown |= {name: getattr(user, name) for name in CORE if self.reads(viewer, name)}
        if viewer in {"self", "admin"}:
            shown |= {"email_verified": user.email_verified, "status": user.status, "roles": list(user.roles)}
            shown["created_at"] = to_rfc3339(user.created_at)
        elif not user.email_verified and "email" in shown:
            shown["email"] = None  # a claim could be somebody else's address
        if viewer == "admin":
            shown["legacy_id"] = user.legacy_id
        return shown | {name: user.fields.get(name) for name in self.declarations if self.reads(viewer, name)}

    def reads(self, viewer: Viewer, name: str) -> bool:
        """Whether `viewer` may read the field `name`."""
        declared = self.declarations.get(name)
        read: Read = getattr(self.core_read, name) if declared is None else declared.read
        return viewer in _READERS[read]

    def facts(self, user: User) -> list[dict[str, str]]:
        """What users may read but not change of their own record, as {"label", "value"} for a page."""
        return [
            {"label": rules.label_of(name, declared), "value": value_text(declared.type, user.fields.get(name))}
            for name, declared in self.declarations.items()
            if declared.write != "user"
        ]

    @property
    def body_limit(self) -> int:
        """How many bytes a body needs that holds every field at its longest, as JSON or as a form."""
        declared = sum(longest(declared) for declared in self.declarations.values())
        return max(_BODY_LIMIT, _BODY_OF_CORE + _BYTES_ON_THE_WAY * declared)

    # Forms --------------------------------------------------------------------------------------------------------

    def form_fields(self, purpose: Purpose, user: User | NewUser | None = None) -> list[FormField]:
        """The fields of a form, with the same limits and sentences that validation uses; filled from `user`."""
        return [
            *(core_field(name, None if user is None else getattr(user, name), purpose) for name in _ON_FORM[purpose]),
            *(
                custom_field(name, declared, None if user is None else user.fields.get(name))
                for name, declared in self._on_form(purpose)
            ),
        ]

    def from_form(self, form: Mapping[str, str], purpose: Purpose) -> dict[str, Any]:
        """Turn what a form sent (texts) into the body that JSON would have; an empty text is no value.

        Text that is not of its field's type stays text, for validation to refuse it.
        """
        return read_form(form, dict(self._on_form(purpose)))

    def _on_form(self, purpose: Purpose) -> Iterable[tuple[str, Declaration]]:
        for name, declared in self.declarations.items():
            if declared.write == "user" and (declared.required or purpose == "profile"):
                yield name, declared

    # Documents ----------------------------------------------------------------------------------------------------

    def json_schema(
        self, kind: Literal["sign_up", "sign_up_by_email", "update", "patch", "user", "page"]
    ) -> JsonSchema:
        """JSON Schema (2020-12) of a body or an answer, for the API's description."""
        match kind:
            case "sign_up":
                return self._sign_up_document("uid", "name")
            case "sign_up_by_email":
                return self._sign_up_document("email")
            case "update":
                return self._update_document()
            case "patch":
                return self._patch_document()
            case "user":
                return _object(self._answer_properties(), required=["id"])
            case "page":
                return self._page_document()

    def _sign_up_document(self, *needed: str) -> JsonSchema:
        written = {name: d for name, d in self.declarations.items() if d.write == "user"}
        properties = {"uid": _UID, **_CORE, "password": _PASSWORD, **_described(written)}
        if "email" in needed:
            properties["email"] = {"type": "string", "format": "email"}
        required = [*needed, "password", *(name for name, d in written.items() if d.required)]
        return {**_object(properties, required), "additionalProperties": False}

    def _update_document(self) -> JsonSchema:
        properties = {"id": _ID, "uid": _UID, **_CORE, **_described(self.declarations)}
        return {**_object(properties, []), "additionalProperties": False}

    def _patch_document(self) -> JsonSchema:
        whole = self._update_document()
        added = {
            name: {"anyOf": [whole["properties"][name], _INCREMENT]}
            for name, declared in self.declarations.items()
            if declared.type == "integer"
        }
        return {**whole, "properties": {**whole["properties"], **added}}

    def _answer_properties(self) -> dict[str, JsonSchema]:
        return {
            "id": _ID,
            "uid": {"type": "string"},
            "name": {"type": "string"},
            "email": {"type": ["string", "null"]},
            "email_verified": {"type": "boolean"},
            "dob": {"type": ["string", "null"], "format": "date"},
            "status": {"enum": ["active", "disabled", "leaving"]},
            "roles": {"type": "array", "items": {"type": "string"}},
            "created_at": {"type": "string", "format": "date-time"},
            "legacy_id": {"type": ["string", "null"]},
            **_described(self.declarations),
        }

    def _page_document(self) -> JsonSchema:
        rank = {
            "type": ["integer", "null"],
            "description": "From 1; ties share one. Only in a ranked order.",
        }
        row = _object({"rank": rank, **self._answer_properties()}, ["id"])
        own = {"anyOf": [row, {"type": "null"}], "description": "The caller's own row."}
        cursor = {"type": ["string", "null"], "description": "Send it as cursor for the next page."}
        return _object({"data": {"type": "array", "items": row}, "next_cursor": cursor, "own": own})


def _core_rules(names: Iterable[str], today: date) -> list[Rule]:
    return [rules.core_rule(name, today) for name in names]


def _as_object(body: object) -> Mapping[str, Any]:
    if isinstance(body, Mapping):
        return body
    raise Invalid([FieldError("", "wrong_type", "Send one JSON object")])


# JSON Schema pieces -------------------------------------------------------------------------------------------------

_ID: JsonSchema = {"type": "string", "format": "uuid"}
_UID: JsonSchema = {"type": "string", "minLength": rules.SHORTEST, "maxLength": rules.LONGEST}
_INCREMENT: JsonSchema = {
    "type": "object",
    "description": "Adds to the value as it is at that moment; a negative number subtracts.",
    "properties": {INCREMENT: {"type": "integer"}},
    "required": [INCREMENT],
    "additionalProperties": False,
}
_PASSWORD: JsonSchema = {"type": "string", "format": "password"}
_CORE: Mapping[str, JsonSchema] = {
    "name": {"type": "string", "minLength": rules.SHORTEST, "maxLength": rules.LONGEST},
    "email": {"type": ["string", "null"], "format": "email"},
    "dob": {"type": ["string", "null"], "format": "date"},
}


def _object(properties: Mapping[str, JsonSchema], required: list[str] | None = None) -> dict[str, Any]:
    """An object schema; every property is required unless `required` lists some."""
    listed = list(properties) if required is None else required
    return {"type": "object", "properties": dict(properties), "required": listed}


def _described(declarations: Mapping[str, Declaration]) -> dict[str, JsonSchema]:
    return {name: _describe(declared) for name, declared in declarations.items()}


def _describe(declared: Declaration) -> JsonSchema:
    keys = {"description": declared.hint or None, "default": declared.default}
    match declared.type:
        case "json":
            keys["description"] = declared.hint or f"Any JSON value of at most {declared.max_bytes} bytes."
        case "string":
            keys |= {"type": ["string", "null"], "minLength": declared.min_length, "maxLength": declared.max_length}
        case "date":
            keys |= {"type": ["string", "null"], "format": "date"}
        case kind:
            keys |= {"type": [kind, "null"], "minimum": declared.minimum, "maximum": declared.maximum}
    return {key: value for key, value in keys.items() if value is not None}
