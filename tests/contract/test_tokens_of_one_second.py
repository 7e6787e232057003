"""Tokens say when they were issued in whole seconds, and what ends them is told in milliseconds: they must not mix."""

from collections.abc import Iterator

import httpx
import pytest

from doorward.app import Services
from doorward.kernel.instant import MILLISECOND, SECOND, Instant
from doorward.sessions.store import insert_revocation
from doorward.testing import Server, doorward_server
from tests.support.apps import claims_of

ROUNDS = 100  # timers ring early now and then


@pytest.fixture
def doorward() -> Iterator[Server]:
    with doorward_server() as server:
        yield server


@pytest.mark.slow
def test_a_token_given_in_the_second_in_which_all_were_called_back_is_not_one_of_them(doorward: Server) -> None:
    ada, app = doorward.user("Ada"), doorward.add_app()
    credentials = (app.client_id, app.client_secret or "")
    granted = doorward.tokens(ada, app)

    async def call_back(services: Services) -> Instant:
        """What is written when somebody's roles change, without the end of their sessions."""
        now = services.clock.now()
        await services.db.write(lambda: insert_revocation("user", ada.id, now, lambda: None))
        return now

    with httpx.Client(auth=credentials) as http:
        for number in range(ROUNDS):
            into = doorward.clock.now() % SECOND
            doorward.clock.advance((SECOND - into) / SECOND + 0.98)  # so that there is little to wait for
            at = doorward.call(call_back)
            form = {"grant_type": "refresh_token", "refresh_token": granted["refresh_token"]}
            granted = http.post(f"{doorward.issuer}/oauth/token", data=form).json()
            assert claims_of(granted["access_token"])["iat"] * 1000 >= at // MILLISECOND, f"in round {number}"
