"""What every kind of authenticator has to keep to, for whatever lies in the folder."""

import ast
import inspect
import json
import secrets
import sys
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest

from doorward.authenticators import kinds as folder
from doorward.authenticators.kind import MFA, Computed, Refused, Secret, Sent, Slow, State
from doorward.authenticators.kinds import all_kinds, recovery_code, totp
from doorward.authenticators.kinds.recovery_code import CHARACTERS
from doorward.kernel.instant import SECOND
from doorward.ports import Cost
from tests.support.hostile import hostile_strings
from tests.support.sources import imported

KINDS = all_kinds()
COMPUTED = {name: kind for name, kind in KINDS.items() if isinstance(kind, Computed)}
SLOW = {name: kind for name, kind in KINDS.items() if isinstance(kind, Slow)}
SENT = {name: kind for name, kind in KINDS.items() if isinstance(kind, Sent)}

NOW = 1_800_000_000 * SECOND
# RFC 8176 §2, less what only says that there was more than one (`mfa`).
REGISTERED = {
    "face", "fpt", "geo", "hwk", "iris", "kba", "mca", "otp", "pin", "pop", "pwd", "rba", "retina", "sc", "sms", "swk",
    "tel", "user", "vbm", "wia",
}  # fmt: skip
# A kind knows neither whom it is for nor where anything is kept, when it is, or who has tried how often.
FORBIDDEN = ("doorward.sql", "doorward.web", "doorward.audit", "doorward.adapters", "doorward.ports.", "starlette")
PURE_PORTS = {"doorward.ports.Cost"}


@dataclass(frozen=True)
class Sample:
    """Somebody's authenticator before its first use, an answer that is right for it at NOW, and one that is not."""

    secret: Secret
    state: State
    right: str
    wrong: str


def _totp() -> Sample:
    key = b"12345678901234567890"
    right = totp.code_at(key, NOW // (30 * SECOND))
    return Sample({"key": "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"}, totp.FRESH, right, f"{(int(right) + 1) % 10**6:06}")


def _recovery_code() -> Sample:
    digests = [secrets.token_bytes(32) for _ in range(recovery_code.CODES)]
    secret = recovery_code.secret_of(recovery_code.new_salt(), Cost(19_456, 2, 1), digests)
    return Sample(secret, recovery_code.fresh(secret), digests[3].hex(), secrets.token_hex(32))


SAMPLES: Mapping[str, Callable[[], Sample]] = {"totp": _totp, "recovery_code": _recovery_code}


def module_of(name: str) -> ModuleType:
    return sys.modules[f"{folder.__name__}.{name}"]


def refusal(kind: Computed, sample: Sample, answer: str, state: State | None = None) -> str:
    with pytest.raises(Refused) as refused:
        kind.verify(sample.secret, sample.state if state is None else state, answer, NOW)
    return refused.value.reason


# The folder ----------------------------------------------------------------------------------------------------------


def test_every_file_is_a_kind_by_its_name() -> None:
    files = {path.stem for path in Path(*folder.__path__).glob("*.py")} - {"__init__"}
    assert set(KINDS) == files
    assert set(KINDS) >= {"email_code", "recovery_code", "sms_code", "totp"}
    assert all(kind.name == name for name, kind in KINDS.items())


@pytest.mark.parametrize(
    "source",
    [
        "",
        "KIND = object()",
        "from doorward.authenticators.kinds.totp import KIND",
        "from doorward.authenticators.kinds.totp import Totp as KIND",
    ],
)
def test_a_file_that_is_no_kind_of_its_name_stops_the_start(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "odd_one.py").write_text(source)
    monkeypatch.setattr(folder, "__path__", [*folder.__path__, str(tmp_path)])
    monkeypatch.delitem(sys.modules, f"{folder.__name__}.odd_one", raising=False)
    monkeypatch.setattr(folder, "odd_one", None, raising=False)
    with pytest.raises(TypeError, match=r"odd_one\.py"):
        inspect.unwrap(all_kinds)()
    del sys.modules[f"{folder.__name__}.odd_one"]


@pytest.mark.parametrize("name", KINDS)
def test_a_title_is_a_sentence_that_can_be_translated(name: str) -> None:
    title = KINDS[name].title
    assert title
    assert title == title.strip()
    tree = ast.parse(inspect.getsource(module_of(name)))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and ast.unparse(node.func) == "msgid"]
    assert title in {argument.value for call in calls for argument in call.args if isinstance(argument, ast.Constant)}


def test_no_two_kinds_have_one_title() -> None:
    assert len({kind.title for kind in KINDS.values()}) == len(KINDS)


@pytest.mark.parametrize("name", KINDS)
def test_a_kind_is_pure(name: str) -> None:
    """So it cannot forget what is done for all kinds alike: throttling, replay storage, sealing, the audit."""
    names = imported(ast.parse(inspect.getsource(module_of(name))))
    assert not [found for found in names if found.startswith(FORBIDDEN) and found not in PURE_PORTS]


@pytest.mark.parametrize("name", KINDS)
def test_a_user_may_have_at_least_one(name: str) -> None:
    kind = KINDS[name]
    assert kind.per_user >= 1
    assert isinstance(kind.raises_assurance, bool)
    assert not (isinstance(kind, Computed) and isinstance(kind, Sent)), "one has to be asked in one way"


# Computed ------------------------------------------------------------------------------------------------------------


def test_every_computed_kind_is_tried_here() -> None:
    assert SAMPLES.keys() == COMPUTED.keys()


@pytest.mark.parametrize("name", COMPUTED)
def test_a_right_answer_passes_and_changes_nothing_that_was_lent(name: str) -> None:
    kind, sample = COMPUTED[name], SAMPLES[name]()
    before = deepcopy((sample.secret, sample.state))
    passed = kind.verify(sample.secret, sample.state, sample.right, NOW)
    assert (sample.secret, sample.state) == before
    assert passed.state != sample.state
    assert passed.amr
    assert set(passed.amr) <= REGISTERED - {MFA}, "the sum of what was shown is not a kind's to draw"
    for kept in (sample.secret, sample.state, passed.state):
        assert json.loads(json.dumps(kept)) == kept


@pytest.mark.asvs("6.5.1")
@pytest.mark.parametrize("name", COMPUTED)
def test_an_answer_that_was_accepted_is_refused_with_what_came_of_it(name: str) -> None:
    kind, sample = COMPUTED[name], SAMPLES[name]()
    passed = kind.verify(sample.secret, sample.state, sample.right, NOW)
    assert refusal(kind, sample, sample.right, passed.state) == "used before"
    stored = json.loads(json.dumps(passed.state))
    assert refusal(kind, sample, sample.right, stored) == "used before"


@pytest.mark.parametrize("name", COMPUTED)
def test_what_is_not_right_is_refused_and_never_another_error(name: str) -> None:
    kind, sample = COMPUTED[name], SAMPLES[name]()
    answers = ["", " ", sample.wrong, sample.right[:-1], sample.right * 2, "0" * 10_000, "\ud800", *hostile_strings()]
    for answer in answers:
        assert refusal(kind, sample, answer) in {"malformed", "wrong"}, answer


# Slow ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SLOW)
def test_nothing_slow_is_done_for_what_cannot_be_right(name: str) -> None:
    sample = SAMPLES[name]()
    # One of the hostile strings, "shitake mushrooms", has as many letters as a code and reads as one.
    impossible = [text for text in hostile_strings() if sum(map(str.isalnum, text)) != CHARACTERS]
    for answer in ("", " ", "0" * 10_000, *impossible):
        with pytest.raises(Refused):
            SLOW[name].derivation(sample.secret, answer)


def test_recovery_codes_are_slow_and_apps_are_not() -> None:
    assert "recovery_code" in SLOW
    assert "totp" not in SLOW


# Sent ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SENT)
def test_a_sent_code_goes_somewhere_and_shows_something(name: str) -> None:
    kind = SENT[name]
    assert kind.channel in {"email", "phone"}
    assert kind.amr
    assert set(kind.amr) <= REGISTERED - {MFA}


def test_no_code_by_e_mail_is_a_second_factor() -> None:
    """C24; NIST SP 800-63B §3.1.3.1: a mailbox opens what the password opens."""
    by_mail = [kind for kind in SENT.values() if kind.channel == "email"]
    assert by_mail
    assert not any(kind.raises_assurance for kind in by_mail)


def test_what_raises_assurance_beside_a_password_is_written_down() -> None:
    raising = {name for name, kind in KINDS.items() if kind.raises_assurance}
    assert raising - {"passkey"} == {"recovery_code", "sms_code", "totp"}
