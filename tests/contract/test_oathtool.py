"""Our one-time passwords are those of OATH Toolkit's `oathtool`, which shares no code with us."""

import subprocess
from datetime import UTC, datetime

import pytest

from doorward.authenticators.kinds.totp import FRESH, KIND, STEP_SECONDS, grouped, new_secret
from doorward.kernel.instant import SECOND

SECONDS = [0, 29, 30, 59, 1_111_111_109, 1_234_567_890, 2_000_000_000, 20_000_000_000]


def oathtool(key: str, seconds: int, *options: str) -> list[str]:
    """The codes of a base32 key, which goes in by standard input, at so many seconds since the epoch."""
    at = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    command = ["oathtool", "--totp", "--base32", f"--now={at}", *options, "-"]
    return subprocess.run(command, input=key, capture_output=True, text=True, check=True).stdout.split()


@pytest.mark.parametrize("seconds", SECONDS)
def test_its_code_is_accepted_here_for_its_step(seconds: int) -> None:
    secret = new_secret()
    (code,) = oathtool(secret["key"], seconds)
    assert KIND.verify(secret, FRESH, code, seconds * SECOND).state == {"step": seconds // STEP_SECONDS}


def test_a_key_that_was_typed_in_groups_is_the_same_key() -> None:
    secret = new_secret()
    assert oathtool(grouped(secret), 1_234_567_890) == oathtool(secret["key"], 1_234_567_890)


def test_of_its_next_hundred_codes_each_is_accepted_in_its_turn() -> None:
    secret, state = new_secret(), FRESH
    for later, code in enumerate(oathtool(secret["key"], 1_800_000_000, "--window=99")):
        now = (1_800_000_000 + later * STEP_SECONDS) * SECOND
        state = KIND.verify(secret, state, code, now).state
    assert state == {"step": 1_800_000_000 // STEP_SECONDS + 99}
