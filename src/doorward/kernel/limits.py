"""The figures of limits.toml, typed. Who counts them: ports/limiter.py (addresses), authenticators/ (accounts)."""

import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any, Final, Literal, TypeAlias

from doorward.kernel.instant import SECOND

Counts: TypeAlias = Literal["failures", "tries"]
WhenDown: TypeAlias = Literal["local", "refuse"]
Overrides: TypeAlias = Mapping[str, Mapping[str, str | int]]

NAMES = 2  # by which one account can be signed in to: its handle and its proven e-mail address
_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_DURATION = re.compile(r"([1-9][0-9]{0,5})([smhd])")
_PER, _DAILY = "per_", "_daily"
_RATE = re.compile(r"([1-9][0-9]{0,5})/([1-9][0-9]{0,5}[smhd])")


class LimitsError(ValueError):
    """Some figures cannot be read. `problems` holds each as (table, key, what is wrong)."""

    def __init__(self, problems: list[tuple[str, str, str]]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(f"[{table}] {key}: {what}" for table, key, what in problems))


@dataclass(frozen=True, slots=True)
class Rate:
    """So many in a period, kept by GCRA: `count` at once, then one each `interval`."""

    count: int
    period_seconds: int

    @property
    def period(self) -> int:
        """The period, in µs."""
        return self.period_seconds * SECOND

    @property
    def interval(self) -> int:
        """How long one place takes to come back, in µs."""
        return self.period // self.count


NO_RATES: Final[Mapping[str, Rate]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class ActionLimit:
    """The limits of one action by address, by subject and for everybody. `shown` is a gettext msgid.

    `per_subject`: figures called per_<subject> or per_<subject>_daily in the file, by that name without "per_".
    """

    counts: Counts
    per_address: Rate
    everybody: Rate
    shown: str
    when_store_is_down: WhenDown
    per_subject: Mapping[str, Rate] = field(default_factory=dict)

    def rates_of(
        self, subjects: Mapping[str, str], own: Mapping[str, Rate] = NO_RATES
    ) -> tuple[tuple[str, str, Rate], ...]:
        """The buckets of what a try is about, as (figure, subject, rate).

        `subjects`: subject kind (such as "recipient") -> who or what; `own`: figure -> the rate that this subject has
        instead. Raises KeyError when one that is limited is not named: a limit must not be forgotten.
        """
        return tuple(
            (figure, subjects[figure.removesuffix(_DAILY)], own.get(figure, rate))
            for figure, rate in self.per_subject.items()
        )


@dataclass(frozen=True, slots=True)
class AccountLimit:
    """The delays after consecutive wrong passwords for one account (NIST SP 800-63B §3.2.2)."""

    free_failures: int
    first_delay: int  # s, as are all below but hard_stop
    longest_delay: int
    hard_stop: int
    delay_at_hard_stop: int
    forget_few_after: int
    forget_after: int

    @property
    def stop_of_name(self) -> int:
        """Failures in a row under one name at which only `delay_at_hard_stop` helps.

        Every name has the same, whether or not somebody has it and by whatever other name; all of an account's together
        stay within `hard_stop`.
        """
        return self.hard_stop // NAMES

    @property
    def steps(self) -> tuple[tuple[int, int], ...]:
        """The ladder in full, as (failures, delay in µs) from the first delay to the last that grows."""
        steps = []
        for failures in range(self.free_failures, self.stop_of_name):
            steps.append((failures, self.delay_after(failures)))
            if steps[-1][1] == self.longest_delay * SECOND:
                break
        return tuple(steps)

    def delay_after(self, failures: int) -> int:
        """How long the next try has to wait after so many failures in a row, in µs."""
        if failures >= self.stop_of_name:
            return self.delay_at_hard_stop * SECOND
        if failures < self.free_failures:
            return 0
        return min(self.first_delay << min(failures - self.free_failures, 40), self.longest_delay) * SECOND


@dataclass(frozen=True, slots=True)
class DeviceLimit:
    """Known devices: failures in a row that void one, and how many a user may have."""

    void_after: int
    per_user: int


@dataclass(frozen=True, slots=True)
class NoticeLimit:
    """Mails to an owner about their account: how many of each kind, and of that about a wrong second step."""

    per_account: Rate
    factor_failed: Rate

    def rate_of(self, kind: str) -> Rate:
        """The rate of one kind of notice."""
        return self.factor_failed if kind == "factor_failed" else self.per_account


@dataclass(frozen=True, slots=True)
class Limits:
    """The whole of limits.toml."""

    sign_in: ActionLimit
    reauthenticate: ActionLimit
    sign_up: ActionLimit
    sign_up_free: ActionLimit
    challenge: ActionLimit
    patience: ActionLimit
    mail: ActionLimit
    sms: ActionLimit
    contact: ActionLimit
    export: ActionLimit
    code: ActionLimit
    factor: ActionLimit
    passkey: ActionLimit
    recovery_codes: ActionLimit
    api_key: ActionLimit
    idempotency: ActionLimit
    client: ActionLimit
    notice: NoticeLimit
    account: AccountLimit
    known_device: DeviceLimit

    @property
    def actions(self) -> Mapping[str, ActionLimit]:
        """The limits by action, named as in the file."""
        found = {part.name.replace("_", "-"): getattr(self, part.name) for part in fields(self)}
        return {name: limit for name, limit in found.items() if isinstance(limit, ActionLimit)}


def load_limits(overrides: Overrides | None = None) -> Limits:
    """Read limits.toml with single figures replaced. Raises LimitsError naming every table, key and value not fit."""
    given = overrides or {}
    shipped = _shipped()
    problems = [(table, key, what) for table, keys in given.items() for key, what in _unknown(shipped, table, keys)]
    read: dict[str, Any] = {}
    for name, keys in shipped.items():
        try:
            read[name.replace("-", "_")] = _table(name, {**keys, **_known(keys, given.get(name, {}))})
        except LimitsError as error:
            problems.extend(error.problems)
    if problems:
        raise LimitsError(problems)
    return Limits(**read)


@cache
def _shipped() -> Mapping[str, Mapping[str, Any]]:
    return tomllib.loads(files("doorward").joinpath("limits.toml").read_text("utf-8"))


def _unknown(shipped: Mapping[str, Mapping[str, Any]], table: str, keys: Mapping[str, Any]) -> list[tuple[str, str]]:
    if table not in shipped:
        return [(key, f"there is no table {table}; there are {', '.join(shipped)}") for key in keys or ("",)]
    known = shipped[table]
    return [(key, f"there is no such figure; there are {', '.join(known)}") for key in keys if key not in known]


def _known(shipped: Mapping[str, Any], given: Mapping[str, Any]) -> Mapping[str, Any]:
    return {key: value for key, value in given.items() if key in shipped}


def _table(name: str, keys: Mapping[str, Any]) -> ActionLimit | AccountLimit | DeviceLimit | NoticeLimit:
    match name:
        case "account":
            account = AccountLimit(**_read(name, keys, {"free_failures": _number, "hard_stop": _number}, _duration))
            if account.stop_of_name < account.free_failures:
                raise LimitsError([(name, "hard_stop", f"must be at least {NAMES} times free_failures")])
            return account
        case "known-device":
            return DeviceLimit(**_read(name, keys, {}, _number))
        case "notice":
            return NoticeLimit(**_read(name, keys, {}, _rate))
        case _:
            readers = {"counts": _one_of("failures", "tries"), "when_store_is_down": _one_of("local", "refuse")}
            values = _read(name, keys, {**readers, "shown": _text}, _rate)
            subjects = [key for key in values if key.startswith(_PER) and key != "per_address"]
            per_subject = {key.removeprefix(_PER): values.pop(key) for key in subjects}
            return ActionLimit(**values, per_subject=per_subject)


def _read(
    table: str, keys: Mapping[str, Any], readers: Mapping[str, Callable[[Any], Any]], otherwise: Callable[[Any], Any]
) -> dict[str, Any]:
    values: dict[str, Any] = {}
    problems = []
    for key, value in keys.items():
        try:
            values[key] = readers.get(key, otherwise)(value)
        except ValueError as error:
            problems.append((table, key, str(error)))
    if problems:
        raise LimitsError(problems)
    return values


def _number(value: object) -> int:
    # A number from the environment is text; True is an int in Python but no figure.
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError("must be a whole number of at least 1")
    return value


def _duration(value: object) -> int:
    found = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise ValueError('must be a number and a unit (s, m, h, d), such as "15m"')
    return int(found[1]) * _UNITS[found[2]]


def _rate(value: object) -> Rate:
    found = _RATE.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise ValueError('must be a count and a period, such as "30/15m"')
    return Rate(int(found[1]), _duration(found[2]))


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError("must be a sentence")
    return value


def _one_of(*words: str) -> Callable[[object], str]:
    def read(value: object) -> str:
        if value not in words:
            raise ValueError(f"must be one of {', '.join(words)}")
        return str(value)

    return read
