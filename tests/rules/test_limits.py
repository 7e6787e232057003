"""limits.toml: the figures, how they are read, and the ladder of delays."""

from importlib.resources import files
from pathlib import Path

import pytest

from doorward.kernel.addresses import network_of
from doorward.kernel.instant import HOUR, MINUTE, SECOND
from doorward.kernel.limits import LimitsError, Rate, load_limits

LIMITS = load_limits()
PAGE = Path(__file__).parents[2] / "docs" / "limits.md"


@pytest.mark.asvs("6.1.1")
def test_the_shipped_figures_are_those_of_the_design() -> None:
    assert LIMITS.sign_in.per_address == Rate(30, 15 * 60)
    assert LIMITS.sign_in.everybody == Rate(600, 60)
    assert LIMITS.reauthenticate == LIMITS.sign_in
    assert LIMITS.sign_up.per_address == Rate(100, 600)
    assert LIMITS.sign_up.everybody == Rate(1200, 600)
    assert (LIMITS.sign_in.counts, LIMITS.sign_up.counts) == ("failures", "tries")
    assert (LIMITS.sign_in.when_store_is_down, LIMITS.sign_up.when_store_is_down) == ("local", "refuse")
    assert (LIMITS.known_device.void_after, LIMITS.known_device.per_user) == (10, 10)
    assert LIMITS.mail.per_subject == {"recipient": Rate(5, 15 * 60), "recipient_daily": Rate(10, 86_400)}  # C15
    assert set(LIMITS.sms.per_subject) == {"recipient", "recipient_daily", "prefix"}
    assert LIMITS.notice.rate_of("factor_failed") == Rate(1, 3600)
    assert LIMITS.notice.rate_of("new_device") == LIMITS.notice.rate_of("password_changed") == Rate(10, 3600)
    assert LIMITS.mail.when_store_is_down == LIMITS.sms.when_store_is_down == "refuse"
    assert set(LIMITS.actions) == {
        "sign-in", "reauthenticate", "sign-up", "sign-up-free", "challenge", "patience", "mail", "sms",
        "contact", "export", "code", "factor", "passkey", "recovery-codes", "api-key", "idempotency", "client",
    }  # fmt: skip


def test_a_limit_by_subject_cannot_be_forgotten() -> None:
    with pytest.raises(KeyError):
        LIMITS.mail.rates_of({})
    assert [figure for figure, _, _ in LIMITS.mail.rates_of({"recipient": "x"})] == ["recipient", "recipient_daily"]


@pytest.mark.asvs("6.3.1")
def test_delays_begin_with_the_fifth_failure_double_up_to_an_hour_and_stay_there() -> None:
    delays = [LIMITS.account.delay_after(failures) for failures in range(1, 120)]
    assert delays[:4] == [0, 0, 0, 0]
    assert delays[4:16] == [SECOND << step for step in range(12)]
    assert set(delays[16:]) == {HOUR}


def test_the_steps_of_the_ladder_say_the_same_as_the_formula() -> None:
    assert LIMITS.account.steps == tuple((n, LIMITS.account.delay_after(n)) for n in range(5, 18))


def test_waiting_for_the_count_to_be_forgotten_wins_a_guesser_nothing() -> None:
    """Whoever stays below the ladder gets fewer guesses a month than whoever sits on its last step."""
    account = LIMITS.account
    patient = (account.free_failures - 1) * account.forget_after // account.forget_few_after
    stubborn = account.forget_after // account.delay_at_hard_stop
    assert patient <= stubborn


def test_all_known_devices_together_stay_within_the_hard_stop() -> None:
    assert LIMITS.known_device.void_after * LIMITS.known_device.per_user <= LIMITS.account.hard_stop


def test_the_stop_of_a_name_is_half_of_that_of_an_account_and_above_what_is_free() -> None:
    assert LIMITS.account.stop_of_name == 50
    with pytest.raises(LimitsError, match="hard_stop: must be at least 2 times free_failures"):
        load_limits({"account": {"hard_stop": 9}})


def test_single_figures_can_be_replaced() -> None:
    limits = load_limits({"sign-in": {"per_address": "5/1h"}, "account": {"hard_stop": "50", "forget_after": "60d"}})
    assert limits.sign_in.per_address == Rate(5, 3600)
    assert limits.sign_in.everybody == LIMITS.sign_in.everybody
    assert (limits.account.hard_stop, limits.account.forget_after) == (50, 60 * 86_400)


def test_everything_wrong_is_said_at_once() -> None:
    wrong: dict[str, dict[str, str | int]] = {
        "sign-in": {"per_address": "many", "per_adress": "5/1h", "counts": "some"},
        "sign-out": {"per_address": "5/1h"},
        "account": {"free_failures": 0, "first_delay": "soon"},
    }
    with pytest.raises(LimitsError) as caught:
        load_limits(wrong)
    assert {(table, key) for table, key, _ in caught.value.problems} == {
        ("sign-in", "per_address"),
        ("sign-in", "per_adress"),
        ("sign-in", "counts"),
        ("sign-out", "per_address"),
        ("account", "free_failures"),
        ("account", "first_delay"),
    }
    assert '[account] first_delay: must be a number and a unit (s, m, h, d), such as "15m"' in str(caught.value)


@pytest.mark.parametrize("figure", ["0/1m", "30", "30/15", "-1/1m", "30/0m", "1e3/1m", "٣/1m", ""])
def test_a_rate_that_cannot_be_kept_is_refused(figure: str) -> None:
    with pytest.raises(LimitsError):
        load_limits({"sign-in": {"per_address": figure}})


def test_a_place_comes_back_after_its_share_of_the_period() -> None:
    assert Rate(30, 900).interval == MINUTE // 2


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:DB8:1:2::9", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("fe80::1%eth0", "fe80::/64"),
        ("fe80::1%x1", "fe80::/64"),
        ("local", "local"),
        ("", ""),
    ],
)
def test_an_address_is_counted_by_what_one_subscriber_holds(address: str, network: str) -> None:
    assert network_of(address) == network


@pytest.mark.asvs("6.1.1")
def test_the_page_about_limits_shows_the_file_as_it_is_shipped() -> None:
    shipped = files("doorward").joinpath("limits.toml").read_text("utf-8")
    assert f"```toml\n{shipped}```" in PAGE.read_text("utf-8")
