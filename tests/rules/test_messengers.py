"""Which carrier of text messages, and which breach check, the configuration amounts to."""

import pytest

from doorward.adapters.guarded_http import GuardedHttp
from doorward.adapters.sms_gateway import GatewayMessenger
from doorward.adapters.twilio import API, TwilioMessenger
from doorward.app import sms_messenger
from doorward.config import load
from doorward.kernel.addresses import PRIVATE_NETWORKS

TWILIO = {
    "DOORWARD_SMS__PROVIDER": "twilio",
    "DOORWARD_SMS__TWILIO_ACCOUNT_SID": "AC" + "0f" * 16,
    "DOORWARD_SMS__TWILIO_AUTH_TOKEN": "token",
    "DOORWARD_SMS__TWILIO_FROM": "Doorward",
}
GATEWAY = {"DOORWARD_SMS__PROVIDER": "http", "DOORWARD_SMS__URL": "https://sms.example/send"}


def test_nobody_carries_text_messages_until_somebody_is_named() -> None:
    assert sms_messenger(load(None, {}, {}).settings) is None


def test_twilio_is_reached_at_its_own_address_and_past_the_guard() -> None:
    messenger = sms_messenger(load(None, TWILIO, {}).settings)
    assert messenger == TwilioMessenger(messenger.outbound, "AC" + "0f" * 16, "token", "Doorward", API)  # type: ignore[union-attr]  # checked by being equal
    assert isinstance(messenger, TwilioMessenger)
    assert isinstance(messenger.outbound, GuardedHttp)
    assert messenger.outbound.allowed == ()


@pytest.mark.parametrize("allowed", ["true", "false"])
def test_a_gateway_reaches_private_networks_only_by_the_operators_word(allowed: str) -> None:
    environ = {**GATEWAY, "DOORWARD_SMS__ALLOW_PRIVATE_NETWORKS": allowed}
    messenger = sms_messenger(load(None, environ, {}).settings)
    assert isinstance(messenger, GatewayMessenger)
    assert isinstance(messenger.outbound, GuardedHttp)
    assert messenger.outbound.allowed == (PRIVATE_NETWORKS if allowed == "true" else ())
