"""Fields as HTML forms show them and send them back: everything is text there."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeAlias

from doorward.kernel import strict_json
from doorward.kernel.errors import Malformed
from doorward.kernel.msgid import msgid
from doorward.users import rules
from doorward.users.fields import Declaration, FieldType, string_length
from doorward.users.rules import Unreadable
from doorward.web.forms import FieldType as InputType
from doorward.web.forms import FormField

Attributes: TypeAlias = Mapping[str, str]

TEXTAREA_FROM = 200  # code points that no longer fit on one line
_WHOLE = re.compile(r"[+-]?[0-9]{1,19}")
_DECIMAL = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?")
_TRIMMED = frozenset({"uid", "email"})  # keyboards of phones add a space, which is always wrong here

_LENGTHS = {"minlength": str(rules.SHORTEST), "maxlength": str(rules.LONGEST)}
_INPUTS: Mapping[FieldType, InputType] = {
    "string": "text",
    "integer": "number",
    "number": "number",
    "boolean": "checkbox",
    "date": "date",
    "json": "textarea",
}
_CORE: Mapping[str, tuple[InputType, str, str, Attributes]] = {  # type, autocomplete, hint, attributes
    "uid": (
        "text",
        "username",
        msgid("2 to 64 characters, without spaces. You sign in with it, and other members see it."),
        {**_LENGTHS, "autocapitalize": "off", "spellcheck": "false"},
    ),
    "name": ("text", "name", "", _LENGTHS),
    "email": ("email", "email", "", {}),
    "dob": ("date", "bday", "", {"min": rules.EARLIEST_BIRTH.isoformat()}),
}

# Who signs up with an address signs in with it: that is what a password manager has to keep.
_BY_EMAIL = {
    "email": ("username", msgid("We send a link to it, to see that it is yours.")),
    "uid": ("off", msgid("Others see it. We choose one if you leave it empty.")),
}


def core_field(name: str, value: str | None, purpose: str = "") -> FormField:
    """One of the fields every user has; at a sign-up by e-mail they say and ask something else."""
    kind, autocomplete, hint, attributes = _CORE[name]
    rule = rules.core_rule(name)
    if purpose == "sign_up_by_email":
        rule = replace(rule, required=name == "email")
        autocomplete, hint = _BY_EMAIL.get(name, (autocomplete, hint))
    return FormField(
        name,
        rule.label,
        kind,
        value=value or "",
        required=rule.required,
        hint=hint,
        autocomplete=autocomplete,
        attributes=attributes,
        params=rule.params,
        messages=rule.messages,
    )


def custom_field(name: str, declared: Declaration, value: object) -> FormField:
    """A declared field."""
    rule = rules.custom_rule(name, declared, required=declared.required)
    return FormField(
        name,
        _escaped(rule.label),
        _input_type(declared),
        value=value_text(declared.type, value),
        required=rule.required,
        hint=_escaped(declared.hint),
        autocomplete="off",
        attributes=_attributes(declared),
        params=rule.params,
        messages=rule.messages,
    )


def value_text(kind: FieldType, value: object) -> str:
    """A value as a form or a page shows it."""
    if value is None:
        return ""
    if kind == "json":
        return json.dumps(value, ensure_ascii=False, indent=2)
    return str(value).lower() if isinstance(value, bool) else str(value)


def read_form(form: Mapping[str, str], shown: Mapping[str, Declaration]) -> dict[str, Any]:
    """Turn texts into the values of a JSON body. `shown`: the declared fields that stood on the form."""
    body: dict[str, Any] = {name: _read_core(name, sent) for name, sent in form.items() if name != "csrf_token"}
    for name, declared in shown.items():
        if declared.type == "boolean":
            body[name] = form.get(name) not in {None, "", "false"}  # an empty tick-box sends nothing
        elif name in form:
            body[name] = read_text(declared.type, form[name])
    return body


def read_text(kind: FieldType, sent: str) -> object:
    """The value that a text means, None when it is blank, and the text itself where it means none of that type."""
    plain = sent.strip()
    if plain == "":
        return None
    return sent if kind == "string" else _READERS[kind](plain)


def _read_core(name: str, sent: str) -> str | None:
    return (sent.strip() if name in _TRIMMED else sent) or None


def _read_json(sent: str) -> object:
    try:
        return strict_json.loads(sent.encode("utf-8", "surrogatepass"), max_depth=rules.JSON_DEPTH)
    except Malformed:
        return Unreadable(sent)


def _escaped(written: str) -> str:
    # Operators write labels and hints as they are; pages take them for sentences with %(name)s places.
    return written.replace("%", "%%")


_READERS: Mapping[FieldType, Callable[[str], object]] = {
    "integer": lambda plain: int(plain) if _WHOLE.fullmatch(plain) else plain,
    "number": lambda plain: float(plain) if _DECIMAL.fullmatch(plain) else plain,
    "boolean": lambda plain: {"true": True, "false": False}.get(plain.lower(), plain),
    "date": lambda plain: plain,
    "json": _read_json,
}


def _input_type(declared: Declaration) -> InputType:
    long = declared.type == "string" and (string_length(declared) > TEXTAREA_FROM)
    return "textarea" if long else _INPUTS[declared.type]


def _attributes(declared: Declaration) -> Attributes:
    limits = {"min": declared.minimum, "max": declared.maximum}
    found: Mapping[FieldType, Mapping[str, object]] = {
        "string": {"minlength": declared.min_length, "maxlength": string_length(declared)},
        "integer": {**limits, "step": 1},
        "number": {**limits, "step": "any"},
        "boolean": {},
        "date": limits,
        "json": {"json": "true", "dir": "ltr", "spellcheck": "false", "rows": 6},
    }
    return {key: str(value) for key, value in found[declared.type].items() if value is not None}
