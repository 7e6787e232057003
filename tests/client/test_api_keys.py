"""What is no API key is told by its letters, and nobody is asked about it."""

import pytest

from doorward.kernel.api_key import new_api_key
from doorward_client import Guard, InvalidToken, Settings, Unavailable
from doorward_client.api_keys import is_api_key
from doorward_client.testing import Issuer, User
from tests.support.client_calls import request


def test_the_keys_of_the_server_and_of_the_test_kit_are_keys(doorward_issuer: Issuer, ada: User) -> None:
    for _ in range(200):
        assert is_api_key(new_api_key())
        assert is_api_key(doorward_issuer.api_key(ada, "read"))


@pytest.mark.parametrize("as_bearer", [True, False])
def test_nobody_is_asked_about_what_is_no_key(settings: Settings, doorward_issuer: Issuer, *, as_bearer: bool) -> None:
    key = new_api_key()
    last = "0" if key[-1] != "0" else "1"
    doorward_issuer.broken.add("/oauth/introspect")
    with Guard(settings) as guard:
        for wrong in (key[:-1] + last, key[:-1], key + "0", "dw_", "dw_" + "é" * 49, f"{key}\n"):
            headers = {"authorization": f"Bearer {wrong}"} if as_bearer else {"x_api_key": wrong}
            with pytest.raises(InvalidToken):
                guard.identify(request(**headers))
        with pytest.raises(Unavailable):
            guard.identify(request(x_api_key=key))
    assert doorward_issuer.asked.count("/oauth/introspect") == 1
