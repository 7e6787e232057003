"""Which handle and which e-mail address belong to one account: wrong passwords do not tell. ASVS 6.3.8, 6.3.1.

Failures are counted by the name that was typed, so delays under one name say nothing about another; together the names
of an account stay within the ceiling of NIST SP 800-63B §3.2.2.
"""

import httpx
import msgspec
import pytest

from doorward.config import Settings
from doorward.kernel.limits import load_limits
from doorward.users import Changes
from tests.http.conftest import World
from tests.support.attack import OPERATOR, audited

WRONG = "not the password of anybody"
CEILING = 100
LIMITS = {
    "sign-in": {"per_address": "10000/1m", "everybody": "10000/1m"},
    # The ladder is another test's matter; here the stop is one that can be seen.
    "account": {"longest_delay": "1s", "delay_at_hard_stop": "30d"},
}


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return msgspec.structs.replace(settings, limits=LIMITS)


@pytest.fixture
async def ada(world: World) -> World:
    """A member with two names: a handle and an address that is proven."""
    user = await world.visitor().sign_up("ada")
    await prove(world, user["id"], "ada@example.org")
    return world


async def prove(world: World, user_id: str, address: str) -> None:
    users, now = world.services.users, world.clock.now()
    await world.services.db.write(lambda: users.prove(user_id, "email", address, OPERATOR, now))


async def guess(world: World, identifier: str) -> tuple[int, str | None]:
    answer: httpx.Response = await world.visitor().sign_in(identifier, WRONG)
    return answer.status_code, answer.headers.get("retry-after")


def test_each_name_has_half_of_what_an_account_may_take() -> None:
    account = load_limits().account
    assert 2 * account.stop_of_name <= account.hard_stop == CEILING


@pytest.mark.asvs("6.3.8")
async def test_guessing_under_two_names_in_turn_does_not_tell_that_they_are_one_persons(ada: World) -> None:
    pairs = {"of one": ("ada", "ada@example.org"), "of nobody": ("bob", "bob@example.org")}
    seen: dict[str, list[tuple[int, str | None]]] = {kind: [] for kind in pairs}
    for kind, names in pairs.items():
        for turn in range(14):
            seen[kind].append(await guess(ada, names[turn % 2]))

    assert seen["of one"] == seen["of nobody"]
    assert [status for status, _ in seen["of one"]] == [401] * 10 + [429] * 4


@pytest.mark.asvs("6.3.8")
async def test_the_owners_success_under_one_name_is_not_seen_under_the_other(ada: World) -> None:
    for name in ("ada", "ada@example.org"):
        for _ in range(5):
            await guess(ada, name)
    ada.clock.advance(1)
    assert (await ada.visitor().sign_in("ada")).status_code == 201
    assert (await guess(ada, "ada@example.org"))[0] == 401  # the sixth
    assert await guess(ada, "ada@example.org") == (429, "1")


@pytest.mark.asvs("6.3.1")
async def test_an_account_takes_no_more_than_a_hundred_wrong_passwords_under_all_its_names(ada: World) -> None:
    looked_at = 0
    for turn in range(2 * CEILING + 20):
        status, _ = await guess(ada, ("ada", "ada@example.org")[turn % 2])
        looked_at += status == 401
        ada.clock.advance(1)

    assert looked_at == CEILING
    assert len(await audited(ada, "authn_login_lock")) == 2


@pytest.mark.asvs("6.3.1")
async def test_a_new_password_opens_both_names_also_when_they_have_changed(ada: World) -> None:
    user = await ada.services.users.find_by_identifier("ada")
    assert user is not None
    await ada.services.users.update(user.id, Changes(core={"uid": "lovelace"}), None, OPERATOR)
    await prove(ada, user.id, "lovelace@example.org")
    for name in ("lovelace", "lovelace@example.org", "ada@example.org"):
        for _ in range(6):
            await guess(ada, name)

    services = ada.services
    digest = await services.passwords.hash_new("nine loud cranes at dusk", context=())
    await services.db.write(lambda: services.passwords.set_password(user.id, digest))

    assert (await guess(ada, "lovelace"))[0] == 401
    assert (await guess(ada, "lovelace@example.org"))[0] == 401
    assert (await guess(ada, "ada@example.org"))[0] == 429  # nobody's now


@pytest.mark.asvs("6.3.1")
async def test_an_address_that_is_only_claimed_is_not_opened_by_whoever_claims_it(ada: World) -> None:
    thief = ada.visitor()
    user = await thief.sign_up("mallory", email="ada@example.org")
    for _ in range(6):
        await guess(ada, "ada@example.org")
    services = ada.services
    digest = await services.passwords.hash_new("nine loud cranes at dusk", context=())
    await services.db.write(lambda: services.passwords.set_password(user["id"], digest))

    assert (await guess(ada, "ada@example.org"))[0] == 429
