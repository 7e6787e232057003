"""One form field as a page shows it: made from the same declaration that the server validates with."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

FieldType: TypeAlias = Literal["text", "password", "email", "number", "date", "checkbox", "textarea", "select"]


@dataclass(frozen=True, slots=True)
class FormField:
    """One field of a form; `label`, `hint`, `error`, `messages` and `advice` are gettext msgids with %(name)s places.

    `attributes` are HTML constraints (minlength, maxlength, min, max, step, pattern), `json` where the text must be
    JSON, and `matches`: the field that it must repeat. Lengths count code points. A checkbox is ticked when `value` is
    "true". `error` is empty when all is well.
    """

    name: str
    label: str
    type: FieldType
    value: str = ""
    required: bool = False
    hint: str = ""
    error: str = ""
    autocomplete: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)
    params: Mapping[str, Any] = field(default_factory=dict)  # fill the places of hint, error and messages
    messages: Mapping[str, str] = field(default_factory=dict)  # error code -> the sentence the server would answer
    advice: Mapping[str, str] = field(default_factory=dict)  # of a new password: code -> the sentence while one types
    options: Sequence[tuple[str, str]] = ()  # of a select: value and label
