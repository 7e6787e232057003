"""Passkeys: what is asked, what counts, and everything that does not (C29, C30, C31; WebAuthn level 3 §7.1, §7.2)."""

import hashlib
import json
import subprocess
import sys
import time
import tomllib
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any, Unpack
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from fido2 import cbor
from fido2.cose import CoseKey
from fido2.server import Fido2Server
from fido2.utils import websafe_decode, websafe_encode
from fido2.webauthn import AttestedCredentialData, PublicKeyCredentialRpEntity, UserVerificationRequirement
from hypothesis import given
from hypothesis import strategies as st

from doorward.authenticators.cbor import MAX_DEPTH, NotPlain, end_of_item
from doorward.authenticators.kind import Passed, Refused
from doorward.authenticators.kinds import all_kinds, passkey
from doorward.authenticators.kinds.passkey import Registered
from doorward.authenticators.relying_party import RelyingParty
from doorward.testing.authenticator import (
    EDDSA,
    ES256,
    ES512,
    PS256,
    RS256,
    CreateTweaks,
    GetTweaks,
    InvalidStateError,
    NotAllowedError,
    Resident,
    SecurityError,
    SoftwareAuthenticator,
    new_key,
)

PAGE = "https://id.example.org"
RP = RelyingParty.at(PAGE, "Example", {PAGE})
CHALLENGE = bytes(range(32))
HANDLE = bytes(range(64, 128))
WEAK_RSA = rsa.generate_private_key(65537, 1024)  # noqa: S505  must be refused
ODD_RSA = rsa.generate_private_key(3, 2048)
NO_DATA = "authenticator data is missing or too long"


def creation(*, conditional: bool = False) -> Mapping[str, Any]:
    return passkey.creation_options(
        RP,
        challenge=CHALLENGE,
        user_handle=HANDLE,
        user_name="ada",
        display_name="Ada Lovelace",
        conditional=conditional,
    )


def request(verification: passkey.Verification = "required") -> Mapping[str, Any]:
    return passkey.request_options(RP, challenge=CHALLENGE, verification=verification)


def register(
    authenticator: SoftwareAuthenticator, *, conditional: bool = False, **tweaks: Unpack[CreateTweaks]
) -> Registered:
    made = authenticator.create(creation(conditional=conditional), PAGE, conditional=conditional, **tweaks)
    return passkey.verify_creation(RP, CHALLENGE, made, conditional=conditional)


def verify(answer: object, registered: Registered, **said: Any) -> Passed:
    bound = {"secret": registered.secret, "state": registered.state}
    usual = {"user_handle": HANDLE, "discovered": True, "require_user_verification": True, "beside_another": False}
    return passkey.verify_assertion(RP, CHALLENGE, answer, **{**bound, **usual, **said})


def use(
    authenticator: SoftwareAuthenticator, registered: Registered, said: Mapping[str, Any], **tweaks: Unpack[GetTweaks]
) -> Passed:
    return verify(authenticator.get(request(), PAGE, **tweaks), registered, **said)


@pytest.fixture
def authenticator() -> SoftwareAuthenticator:
    return SoftwareAuthenticator()


# What is asked -------------------------------------------------------------------------------------------------------


def test_a_browser_is_asked_for_a_passkey_that_needs_nothing_else() -> None:
    secret = {"credential_id": "AAEC", "transports": ["usb"]}
    asked = passkey.creation_options(
        RP, challenge=CHALLENGE, user_handle=HANDLE, user_name="ada", display_name="Ada Lovelace", exclude=[secret]
    )
    assert json.loads(json.dumps(asked)) == {
        "rp": {"id": "id.example.org", "name": "Example"},
        "user": {"id": websafe_encode(HANDLE), "name": "ada", "displayName": "Ada Lovelace"},
        "challenge": websafe_encode(CHALLENGE),
        "pubKeyCredParams": [{"type": "public-key", "alg": alg} for alg in (ES256, EDDSA, RS256)],
        "timeout": 300_000,
        "excludeCredentials": [{"type": "public-key", "id": "AAEC", "transports": ["usb"]}],
        "authenticatorSelection": {
            "residentKey": "required",
            "requireResidentKey": True,
            "userVerification": "required",
        },
        "hints": ["client-device", "hybrid", "security-key"],
        "attestation": "none",
    }


def test_a_browser_that_asks_nobody_is_not_told_to_verify_anybody() -> None:
    assert creation(conditional=True)["authenticatorSelection"]["userVerification"] == "preferred"


@pytest.mark.parametrize("verification", ["required", "preferred"])
def test_a_browser_is_asked_for_any_passkey_of_ours_or_for_some(verification: passkey.Verification) -> None:
    anyone = passkey.request_options(RP, challenge=CHALLENGE, verification=verification)
    assert json.loads(json.dumps(anyone)) == {
        "challenge": websafe_encode(CHALLENGE),
        "timeout": 300_000,
        "rpId": "id.example.org",
        "allowCredentials": [],
        "userVerification": verification,
    }
    secrets = [{"credential_id": "AAEC", "transports": ["usb", "nfc"]}, {"credential_id": "AAED", "transports": []}]
    ada = passkey.request_options(RP, challenge=CHALLENGE, verification=verification, allow=secrets)
    assert ada["allowCredentials"] == [
        {"type": "public-key", "id": "AAEC", "transports": ["usb", "nfc"]},
        {"type": "public-key", "id": "AAED", "transports": []},
    ]


@pytest.mark.parametrize("public_url", ["http://localhost:8000", "http://127.0.0.1:8000", "http://[::1]:8000"])
def test_on_loopback_passkeys_belong_to_localhost_and_to_no_address(public_url: str) -> None:
    origins = {"http://localhost:8000", "http://127.0.0.1:8000", "http://[::1]:8000"}
    found = RelyingParty.at(public_url, "Example", origins)
    assert found == RelyingParty("localhost", "Example", frozenset({"http://localhost:8000"}))
    assert found.takes_passkeys


@pytest.mark.parametrize("public_url", ["https://192.0.2.7", "https://[2001:db8::7]:8443", "http://127.0.0.2:8000"])
def test_at_an_address_there_are_no_passkeys(public_url: str) -> None:
    assert not RelyingParty.at(public_url, "Example", {public_url}).takes_passkeys


def test_a_port_belongs_to_the_page_and_not_to_the_domain() -> None:
    found = RelyingParty.at("https://id.example.org:8443", "Example", {"https://id.example.org:8443"})
    assert found == RelyingParty("id.example.org", "Example", frozenset({"https://id.example.org:8443"}))


# What counts ---------------------------------------------------------------------------------------------------------


@pytest.mark.asvs("6.3.3")
@pytest.mark.parametrize("alg", [ES256, EDDSA, RS256])
def test_a_passkey_is_made_and_used(alg: int) -> None:
    authenticator = SoftwareAuthenticator(algorithms=[alg])
    made = register(authenticator)
    (resident,) = authenticator.residents
    assert made == Registered(
        credential_id=resident.id,
        secret={
            "credential_id": websafe_encode(resident.id),
            "public_key": websafe_encode(resident.public_key),
            "aaguid": "00000000-0000-0000-0000-000000000000",
            "transports": ["hybrid", "internal"],
            "backup_eligible": True,
        },
        state={"sign_count": 0, "backed_up": True, "user_verified": True},
        label="Passkey",
        user_verified=True,
    )
    assert json.loads(json.dumps([made.secret, made.state])) == [made.secret, made.state]
    answer = authenticator.get(request(), PAGE)
    assert passkey.credential_id_of(answer) == made.credential_id
    assert verify(answer, made) == Passed(made.state, ("swk", "user", "mfa"))


def test_the_answer_may_come_out_of_a_field_of_a_form(authenticator: SoftwareAuthenticator) -> None:
    made = register(authenticator)
    text = json.dumps(authenticator.get(request(), PAGE))
    assert verify(passkey.read_credential(text), made).amr == ("swk", "user", "mfa")


def test_browsers_may_say_more_than_we_know(authenticator: SoftwareAuthenticator) -> None:
    """§5.8.1: other members may be added; level 1 had no crossOrigin, some had a byte order mark."""
    said = {"other_keys_can_be_added_here": {"a": [1]}, "crossOrigin": None, "tokenBinding": {"status": "supported"}}
    extension = cbor.encode({"credProtect": 2, "hmac-secret": True})
    made = register(authenticator, more_client_data=said, extensions=extension)
    with_mark = b"\xef\xbb\xbf" + websafe_decode(
        authenticator.get(request(), PAGE, more_client_data=said)["response"]["clientDataJSON"]
    )
    answer = authenticator.get(request(), PAGE, client_data=with_mark, extensions=extension)
    assert verify({**answer, "and": "more"}, made).amr == ("swk", "user", "mfa")


@pytest.mark.asvs("6.5.7")
@pytest.mark.parametrize(
    ("backed_up", "uv", "amr"),
    [
        (True, True, ("swk", "user", "mfa")),
        (True, False, ("swk", "user")),
        (False, True, ("hwk", "user", "mfa")),
        (False, False, ("hwk", "user")),
    ],
)
def test_a_passkey_is_two_factors_only_when_its_user_was_verified(
    backed_up: bool,  # noqa: FBT001  a table of cases
    uv: bool,  # noqa: FBT001  as above
    amr: tuple[str, ...],
) -> None:
    """C30, D19: in a second step it need not be, and then it is something one has and no more."""
    authenticator = SoftwareAuthenticator(backed_up=backed_up)
    made = register(authenticator)
    assert use(authenticator, made, {"require_user_verification": False}, uv=uv).amr == amr


@pytest.mark.asvs("6.3.3")
def test_the_first_verification_of_an_authenticator_is_vouched_for_by_another_factor() -> None:
    """WebAuthn §4, uvInitialized: whoever finds a key without a PIN can give it one, and it then says 'verified'."""
    authenticator = SoftwareAuthenticator()
    made = register(authenticator, conditional=True)
    assert (made.user_verified, made.state["user_verified"]) == (False, False)
    alone = use(authenticator, made, {})
    assert alone.amr == ("swk", "user")
    assert alone.state == made.state
    beside = use(authenticator, made, {"beside_another": True})
    assert beside.amr == ("swk", "user")
    assert beside.state == {**made.state, "user_verified": True}
    assert use(authenticator, made, {"state": beside.state}).amr == ("swk", "user", "mfa")


def test_an_unverified_use_beside_another_factor_vouches_for_nothing() -> None:
    authenticator = SoftwareAuthenticator()
    made = register(authenticator, conditional=True)
    said = {"require_user_verification": False, "beside_another": True}
    assert use(authenticator, made, said, uv=False).state == made.state


def test_what_was_verified_once_stays_so(authenticator: SoftwareAuthenticator) -> None:
    made = register(authenticator)
    assert use(authenticator, made, {"require_user_verification": False}, uv=False).state == made.state


def test_whether_a_passkey_is_backed_up_by_now_is_noted(authenticator: SoftwareAuthenticator) -> None:
    made = register(authenticator, bs=False)
    assert made.state["backed_up"] is False
    assert use(authenticator, made, {}).state["backed_up"] is True


def test_a_passkey_that_counts_is_followed() -> None:
    authenticator = SoftwareAuthenticator(counts=True)
    made = register(authenticator)
    assert made.state["sign_count"] == 1
    used = use(authenticator, made, {})
    assert (used.state["sign_count"], used.warning) == (2, None)


@pytest.mark.parametrize(("before", "now"), [(7, 6), (7, 7), (7, 0)])
def test_a_signature_count_that_did_not_go_up_is_a_warning_and_no_refusal(
    authenticator: SoftwareAuthenticator, before: int, now: int
) -> None:
    """C31: a sign of a copied key, but no proof."""
    made = register(authenticator, sign_count=before)
    used = use(authenticator, made, {}, sign_count=now)
    assert used.warning == f"signature count went from {before} to {now}"
    assert used.state["sign_count"] == now
    assert used.amr == ("swk", "user", "mfa")


def test_a_passkey_that_does_not_count_is_nothing_odd(authenticator: SoftwareAuthenticator) -> None:
    assert use(authenticator, register(authenticator), {}).warning is None


def test_a_statement_of_who_made_the_authenticator_is_not_read(authenticator: SoftwareAuthenticator) -> None:
    """None was asked for; some send one all the same. Its certificates would have to be parsed."""
    junk = {"alg": -7, "sig": b"no signature", "x5c": [b"no certificate"]}
    assert register(authenticator, fmt="packed", statement=junk).label == "Passkey"
    assert register(authenticator, fmt="of tomorrow", statement={"a": {"b": [1, True]}}).label == "Passkey"


def test_ways_to_an_authenticator_are_kept_even_if_we_have_not_heard_of_them(
    authenticator: SoftwareAuthenticator,
) -> None:
    said = ["usb", "smart-card", "by-thought", "Not", 7, None, "x" * 40, ["usb"]]
    assert register(authenticator, transports=said).secret["transports"] == ["usb", "smart-card", "by-thought"]
    assert register(authenticator, transports=["a"] * 50).secret["transports"] == ["a"] * 8
    assert register(authenticator, transports="usb").secret["transports"] == []


def test_the_longest_credential_id_fits(authenticator: SoftwareAuthenticator) -> None:
    made = register(authenticator, credential_id=bytes(1023))
    assert passkey.lookup(made.credential_id) == hashlib.sha256(bytes(1023)).digest()
    assert use(authenticator, made, {}).amr == ("swk", "user", "mfa")


def test_who_is_known_already_need_not_be_named(authenticator: SoftwareAuthenticator) -> None:
    """§7.2, step 6: security keys leave the handle out when they are asked for a certain passkey."""
    made = register(authenticator)
    assert use(authenticator, made, {"discovered": False}, user_handle=None).amr == ("swk", "user", "mfa")


@pytest.mark.parametrize("alg", [ES256, EDDSA, RS256])
def test_another_implementation_agrees_that_the_software_authenticator_is_right(alg: int) -> None:
    authenticator = SoftwareAuthenticator(algorithms=[alg])
    server = Fido2Server(PublicKeyCredentialRpEntity(id=RP.id, name=RP.name))
    state = {"challenge": websafe_encode(CHALLENGE), "user_verification": UserVerificationRequirement.REQUIRED}
    made = server.register_complete(state, authenticator.create(creation(), PAGE))
    assert isinstance(made.credential_data, AttestedCredentialData)
    server.authenticate_complete(state, [made.credential_data], authenticator.get(request(), PAGE))


# What does not: making a passkey -------------------------------------------------------------------------------------

NOT_MADE: Mapping[str, tuple[CreateTweaks, str]] = {
    "an assertion": ({"type": "webauthn.get"}, "wrong type"),
    "another challenge": ({"challenge": websafe_encode(bytes(32))}, "wrong challenge"),
    "the challenge in another spelling": ({"challenge": websafe_encode(CHALLENGE) + "="}, "wrong challenge"),
    "no challenge": ({"more_client_data": {"challenge": None}}, "wrong challenge"),
    "a look-alike page": ({"origin": "https://id.example.org.evil.test"}, "wrong origin"),
    "a page of a subdomain": ({"origin": "https://evil.id.example.org"}, "wrong origin"),
    "a page without TLS": ({"origin": "http://id.example.org"}, "wrong origin"),
    "a page on another port": ({"origin": "https://id.example.org:8443"}, "wrong origin"),
    "a list of pages": ({"more_client_data": {"origin": [PAGE]}}, "wrong origin"),
    "a frame": ({"cross_origin": True}, "within a page of another origin"),
    "a frame, in another word": ({"more_client_data": {"crossOrigin": 1}}, "within a page of another origin"),
    "a frame in some page": ({"top_origin": "https://evil.test"}, "within a page of another origin"),
    "a frame in our page": ({"top_origin": PAGE}, "within a page of another origin"),
    "client data that is no object": ({"client_data": b"[]"}, "no JSON object"),
    "client data that is no JSON": ({"client_data": b"{"}, "client data is not JSON"),
    "client data that says a thing twice": (
        {"client_data": b'{"type":"webauthn.create","type":"webauthn.create"}'},
        "client data is not JSON",
    ),
    "client data that is too long": ({"client_data": b" " * 4097}, "clientDataJSON is missing or too long"),
    "another domain": ({"rp_id": "example.org"}, "wrong relying party"),
    "nobody there": ({"up": False}, "user not present"),
    "nobody verified": ({"uv": False}, "user not verified"),
    "backed up, yet never to be": ({"be": False, "bs": True}, "backed up, but not eligible for it"),
    "no passkey within": ({"attested": False}, "no passkey within"),
    "another passkey within": ({"id": "AAEC", "raw_id": "AAEC"}, "another credential id within"),
    "two ids": ({"id": "AAEC"}, "two credential ids"),
    "no id": ({"id": "", "raw_id": ""}, "no credential id"),
    "an id that is too long": ({"credential_id": bytes(1024)}, "rawId is missing or too long"),
    "an id that is too long within": (
        {"credential_id": bytes(1024), "id": "AAEC", "raw_id": "AAEC"},
        "credential id too long",
    ),
    "an id with padding": ({"id": "AA==", "raw_id": "AA=="}, "rawId is not base64url"),
    "an id in another spelling": ({"id": "AB", "raw_id": "AB"}, "rawId is not base64url"),
    "an id in other letters": ({"id": "+/8", "raw_id": "+/8"}, "rawId is not base64url"),
    "an id that cannot be": ({"id": "A", "raw_id": "A"}, "rawId is not base64url"),
    "an id of other letters": ({"id": "é\ud800", "raw_id": "é\ud800"}, "rawId is not base64url"),
    "another type of credential": ({"credential_type": "password"}, "no public key credential"),
    "an algorithm that was not offered": ({"alg": ES512}, "algorithm not offered"),
    "another use of RSA": ({"alg": PS256}, "algorithm not offered"),
    "a short RSA key": ({"alg": RS256, "key": WEAK_RSA}, "algorithm not offered"),
    "an odd RSA key": ({"alg": RS256, "key": ODD_RSA}, "algorithm not offered"),
    "no authenticator data": ({"attestation_object": cbor.encode({"fmt": "none", "attStmt": {}})}, NO_DATA),
    "authenticator data of text": ({"attestation_object": cbor.encode({"authData": "a" * 200})}, NO_DATA),
    "too much authenticator data": ({"attestation_object": cbor.encode({"authData": bytes(4097)})}, NO_DATA),
    "too little authenticator data": ({"authenticator_data": bytes(36)}, "unreadable authenticator data"),
    "an attestation of no object": ({"attestation_object": cbor.encode([1])}, "unreadable attestation object"),
    "an attestation of no CBOR": ({"attestation_object": b"\xff"}, "CBOR: a tag or an indefinite length"),
    "nothing for an attestation": ({"attestation_object": b""}, "CBOR: cut off"),
    "bytes after the attestation": ({"attestation_object": b"\xa0\xa0"}, "CBOR: bytes left over"),
    "bytes after the authenticator data": ({"left_over": b"\x00"}, "CBOR: bytes left over"),
    "an attestation that is too long": (
        {"attestation_object": bytes(8193)},
        "attestationObject is missing or too long",
    ),
    "extensions of no CBOR": ({"extensions": b"\xa1\x01"}, "CBOR: cut off"),
}


@pytest.mark.asvs("6.3.3")
@pytest.mark.parametrize(("tweaks", "reason"), NOT_MADE.values(), ids=NOT_MADE.keys())
def test_a_passkey_is_not_taken(authenticator: SoftwareAuthenticator, tweaks: CreateTweaks, reason: str) -> None:
    with pytest.raises(Refused) as refused:
        register(authenticator, **tweaks)
    assert refused.value.reason == reason


def es256(**changes: object) -> bytes:
    """A good COSE key but for these members; None takes one away."""
    numbers = {"kty": 1, "alg": 3, "crv": -1, "x": -2, "y": -3}
    key = dict(CoseKey.for_alg(ES256).from_cryptography_key(new_key(ES256).public_key()))
    key |= {numbers[name]: value for name, value in changes.items()}
    return cbor.encode({number: value for number, value in key.items() if value is not None})


NO_KEYS = {
    "a point on no curve": es256(x=bytes(31) + b"\x05"),
    "a point in compressed form": es256(y=True),
    "half a point": es256(y=None),
    "an empty point": es256(x=b"", y=b""),
    "a curve of text": es256(crv="P-256"),
    "a type of text": es256(kty="EC2"),
    "an algorithm of text": es256(alg="-7"),
    "no algorithm": es256(alg=None),
    "no type": es256(kty=None),
    "Ed25519 that says ES256": es256(kty=1, crv=6, x=bytes(32), y=None),
    "an empty map": b"\xa0",
    "a number": b"\x04",  # py_webauthn takes bytes that begin so for a key of U2F
    "a number that is a key of U2F": b"\x04" + bytes(64),
    "a name twice": b"\xa2\x01\x02\x01\x02",
    "a RSA key of nothing": cbor.encode({1: 3, 3: -257, -1: b"", -2: b""}),
    "a RSA key of 32,000 bits": cbor.encode({1: 3, 3: -257, -1: b"\xff" * 3990, -2: b"\x01\x00\x01"}),
    "an Ed25519 key of 31 bytes": cbor.encode({1: 1, 3: -8, -1: 6, -2: bytes(31)}),
    "an Ed448 key": cbor.encode({1: 1, 3: -8, -1: 7, -2: bytes(57)}),
    "ML-DSA": cbor.encode({1: 7, 3: -48, -1: bytes(1312)}),
}


@pytest.mark.parametrize("public_key", NO_KEYS.values(), ids=NO_KEYS.keys())
def test_a_key_that_could_never_verify_a_signature_is_not_taken(
    authenticator: SoftwareAuthenticator, public_key: bytes
) -> None:
    with pytest.raises(Refused):
        register(authenticator, public_key=public_key)


def test_a_key_on_another_curve_than_its_algorithm_says_is_not_taken(authenticator: SoftwareAuthenticator) -> None:
    """§5.8.5: ES256 is P-256. The library would verify signatures with it."""
    p521 = cbor.decode(Resident(b"", "", b"", "", ES512, new_key(ES512)).public_key)
    assert isinstance(p521, Mapping)
    with pytest.raises(Refused, match="algorithm not offered"):
        register(authenticator, public_key=cbor.encode({**p521, 3: ES256}))


def test_nobody_need_be_there_only_when_the_passkey_was_asked_for_so(authenticator: SoftwareAuthenticator) -> None:
    """§7.1, step 15."""
    quiet = authenticator.create(creation(conditional=True), PAGE, conditional=True)
    with pytest.raises(Refused, match="user not present"):
        passkey.verify_creation(RP, CHALLENGE, quiet, conditional=False)
    assert passkey.verify_creation(RP, CHALLENGE, quiet, conditional=True).user_verified is False


@pytest.mark.parametrize(
    "tweaks", [{"be": False, "bs": True}, {"rp_id": "example.org"}, {"top_origin": PAGE}, {"alg": ES512}]
)
def test_all_else_holds_for_passkeys_that_were_made_without_a_question(
    authenticator: SoftwareAuthenticator, tweaks: CreateTweaks
) -> None:
    with pytest.raises(Refused):
        register(authenticator, conditional=True, **tweaks)


# What does not: using one --------------------------------------------------------------------------------------------

NOT_USED: Mapping[str, tuple[GetTweaks, str]] = {
    "a creation": ({"type": "webauthn.create"}, "wrong type"),
    "another challenge": ({"challenge": websafe_encode(bytes(32))}, "wrong challenge"),
    "a challenge of nothing": ({"challenge": ""}, "wrong challenge"),
    "a look-alike page": ({"origin": "https://id.example.org.evil.test"}, "wrong origin"),
    "a page without TLS": ({"origin": "http://id.example.org"}, "wrong origin"),
    "no page": ({"more_client_data": {"origin": None}}, "wrong origin"),
    "a frame": ({"cross_origin": True}, "within a page of another origin"),
    "a frame in our page": ({"top_origin": PAGE}, "within a page of another origin"),
    "another domain": ({"rp_id": "example.org"}, "wrong relying party"),
    "nobody there": ({"up": False}, "user not present"),
    "nobody verified": ({"uv": False}, "user not verified"),
    "backed up, yet never to be": ({"be": False, "bs": True}, "backed up, but not eligible for it"),
    "backup that it was not made for": ({"be": False, "bs": False}, "backup eligibility changed"),
    "the signature of another key": ({"wrong_key": True}, "wrong signature"),
    "no signature": ({"signature": b""}, "wrong signature"),
    "a signature that is too long": ({"signature": bytes(1025)}, "signature is missing or too long"),
    "another user": ({"user_handle": bytes(64)}, "another user"),
    "the beginning of the user": ({"user_handle": HANDLE[:32]}, "another user"),
    "a user of nothing": ({"user_handle": b""}, "another user"),
    "a user that is too long": ({"user_handle": bytes(65)}, "userHandle is missing or too long"),
    "no user": ({"user_handle": None}, "no user handle"),
    "another passkey": ({"id": "AAEC", "raw_id": "AAEC"}, "another passkey"),
    "two ids": ({"id": "AAEC"}, "two credential ids"),
    "bytes after the authenticator data": ({"left_over": b"\xa0"}, "CBOR: bytes left over"),
    "extensions that are two": ({"extensions": b"\xa0\xa0"}, "CBOR: bytes left over"),
    "too little authenticator data": ({"authenticator_data": bytes(36)}, "unreadable authenticator data"),
    "too much authenticator data": (
        {"authenticator_data": bytes(4097)},
        "authenticatorData is missing or too long",
    ),
}


@pytest.mark.asvs("6.3.3")
@pytest.mark.parametrize(("tweaks", "reason"), NOT_USED.values(), ids=NOT_USED.keys())
def test_a_passkey_does_not_count(authenticator: SoftwareAuthenticator, tweaks: GetTweaks, reason: str) -> None:
    made = register(authenticator)
    with pytest.raises(Refused) as refused:
        use(authenticator, made, {}, **tweaks)
    assert refused.value.reason == reason


def test_a_passkey_that_became_one_to_be_backed_up_does_not_count() -> None:
    authenticator = SoftwareAuthenticator(backed_up=False)
    made = register(authenticator)
    with pytest.raises(Refused, match="backup eligibility changed"):
        use(authenticator, made, {}, be=True)


@pytest.mark.parametrize("alg", [ES256, EDDSA, RS256])
def test_a_signature_covers_every_byte(alg: int) -> None:
    authenticator = SoftwareAuthenticator(algorithms=[alg])
    made = register(authenticator)
    answer = authenticator.get(request(), PAGE)
    for name in ("authenticatorData", "clientDataJSON", "signature"):
        changed = bytearray(websafe_decode(answer["response"][name]))
        changed[34 if name == "authenticatorData" else -1] ^= 1  # the count, a brace, the last of the signature
        response = {**answer["response"], name: websafe_encode(bytes(changed))}
        with pytest.raises(Refused):
            verify({**answer, "response": response}, made)


def test_one_users_passkey_is_no_use_for_another(authenticator: SoftwareAuthenticator) -> None:
    ada, bob = register(authenticator), register(SoftwareAuthenticator())
    with pytest.raises(Refused, match="another passkey"):
        use(authenticator, bob, {})
    with pytest.raises(Refused, match="another user"):
        use(authenticator, ada, {"user_handle": bytes(64), "discovered": False})


def test_a_name_that_is_given_has_to_be_right_even_where_none_is_needed(authenticator: SoftwareAuthenticator) -> None:
    made = register(authenticator)
    with pytest.raises(Refused, match="another user"):
        use(authenticator, made, {"discovered": False}, user_handle=bytes(64))


@pytest.mark.parametrize(
    "found",
    [
        None, [], "text", 7, {}, {"type": "public-key"}, {"type": ["public-key"], "id": "AA", "rawId": "AA"},
        {"type": "public-key", "id": ["AA"], "rawId": ["AA"]}, {"type": "public-key", "id": None, "rawId": None},
        {"type": "public-key", "id": 7, "rawId": 7}, {"type": "public-key", "id": "AA"},
    ],
)  # fmt: skip
def test_what_is_no_credential_has_no_id(found: object) -> None:
    with pytest.raises(Refused):
        passkey.credential_id_of(found)


@pytest.mark.asvs("1.5.3")
@pytest.mark.parametrize(
    "text",
    ["", "[]", "null", "{", '{"id":"a","id":"b"}', "[" * 9999, '{"a":NaN}', '"\ud800"', "{}" + " " * 16_384, "\x00"],
)
def test_a_field_that_holds_no_answer_is_refused(text: str) -> None:
    with pytest.raises(Refused):
        passkey.read_credential(text)


# CBOR from strangers -------------------------------------------------------------------------------------------------

# A regular expression (tag 35) that takes cbor2 seconds to build.
SLOW = b"\xd8\x23" + cbor.encode("(?i)" + "[\x01-\uffff]" * 500)


@pytest.mark.asvs("1.5.2")
def test_a_tag_reaches_no_full_reader_of_cbor(authenticator: SoftwareAuthenticator) -> None:
    """What a tag makes cbor2 build can keep the whole server waiting; anyone may send an assertion."""
    made = register(authenticator)
    started = time.perf_counter()
    for extensions in (SLOW, cbor.encode({"a": 1})[:-1] + SLOW):
        with pytest.raises(Refused, match="CBOR: a tag"):
            use(authenticator, made, {}, extensions=extensions)
    with pytest.raises(Refused, match="CBOR: a tag"):
        register(authenticator, attestation_object=b"\xa1\x68authData" + SLOW)
    with pytest.raises(Refused, match="CBOR: a tag"):
        register(authenticator, public_key=b"\xa1\x01" + SLOW)
    assert time.perf_counter() - started < 1


PLAIN: Sequence[Any] = (
    0,
    23,
    24,
    255,
    65_536,
    2**32,
    2**64 - 1,
    -1,
    -(2**64),
    "",
    "é",
    b"",
    b"a" * 300,
    [],
    [1, [2]],
    {},
    True,
)


@pytest.mark.parametrize("value", PLAIN, ids=repr)
def test_an_item_ends_where_it_ends(value: Any) -> None:
    written = cbor.encode(value)
    assert end_of_item(written) == len(written)
    assert end_of_item(b"\x00" + written + b"\x00", 1) == len(written) + 1
    for length in range(len(written)):
        with pytest.raises(NotPlain, match="cut off"):
            end_of_item(written[:length])


JSON_LIKE = st.recursive(
    st.booleans() | st.integers(-(2**63), 2**63) | st.text(max_size=30) | st.binary(max_size=30),
    lambda within: st.lists(within, max_size=4) | st.dictionaries(st.text(max_size=5), within, max_size=4),
    max_leaves=10,
)


def depth(value: object) -> int:
    within = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if within is None else 1 + max(map(depth, within), default=0)


@given(JSON_LIKE)
def test_whatever_fido2_writes_is_plain_if_it_is_not_too_deep(value: Any) -> None:
    written = cbor.encode(value)
    if depth(value) <= MAX_DEPTH:
        assert end_of_item(written) == len(written)
    else:
        with pytest.raises(NotPlain, match="too deep"):
            end_of_item(written)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\x81" * (MAX_DEPTH + 1) + b"\x00", "too deep"),
        (b"\x81" * 20_000, "too deep"),
        (b"\x9b" + b"\xff" * 8, "cut off"),
        (b"\xbb" + b"\xff" * 8, "cut off"),
        (b"\x5b" + b"\xff" * 8, "cut off"),
        (b"\x5f\x41\x00\xff", "indefinite"),
        (b"\x9f\xff", "indefinite"),
        (b"\xbf\xff", "indefinite"),
        (b"\xff", "indefinite"),
        (b"\x1c", "indefinite"),
        (b"\xc2\x41\x00", "tag"),
        (b"\xd8\x23\x60", "tag"),
        (b"\x81\xc0\x60", "tag"),
    ],
)
def test_what_authenticators_do_not_write_is_not_plain(data: bytes, reason: str) -> None:
    with pytest.raises(NotPlain, match=reason):
        end_of_item(data)


# Whatever is sent ----------------------------------------------------------------------------------------------------

ADA = SoftwareAuthenticator()
MADE = ADA.create(creation(), PAGE)
ADAS = passkey.verify_creation(RP, CHALLENGE, MADE, conditional=False)
USED = ADA.get(request(), PAGE)
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=50),
    lambda within: st.lists(within, max_size=4) | st.dictionaries(st.text(max_size=10), within, max_size=4),
    max_leaves=20,
)
TEXT = st.binary(max_size=200).map(websafe_encode)
ALIKE = st.fixed_dictionaries(
    {},
    optional={
        "id": ANYTHING | TEXT, "rawId": ANYTHING | TEXT, "type": st.just("public-key") | ANYTHING,
        "response": ANYTHING | st.fixed_dictionaries(
            {},
            optional=dict.fromkeys(
                ("clientDataJSON", "attestationObject", "authenticatorData", "signature", "userHandle", "transports"),
                ANYTHING | TEXT | st.sampled_from(["A" * 20_000, "-_" * 3000, "é" * 5000, "\ud800" * 5000, "=" * 4000]),
            ),
        ),
    },
)  # fmt: skip


def outcome(answer: object) -> set[str]:
    """How both ceremonies and the helpers end: whatever else they raise ends the test."""
    found = set()
    for ask in (
        lambda: passkey.verify_creation(RP, CHALLENGE, answer, conditional=False),
        lambda: passkey.verify_creation(RP, CHALLENGE, answer, conditional=True),
        lambda: verify(answer, ADAS),
        lambda: passkey.credential_id_of(answer),
    ):
        try:
            found.add(type(ask()).__name__)
        except Refused:
            found.add("Refused")
    return found


@pytest.mark.asvs("1.5.2")
@given(ANYTHING | ALIKE)
def test_whatever_json_is_sent_is_refused_in_one_way(answer: object) -> None:
    assert not {"Registered", "Passed"} & outcome(answer)


@given(st.text(max_size=300) | ANYTHING.map(lambda value: json.dumps(value, ensure_ascii=False)))
def test_whatever_text_is_sent_is_refused_in_one_way(text: str) -> None:
    try:
        found = passkey.read_credential(text)
    except Refused:
        return
    assert not {"Registered", "Passed"} & outcome(found)


@given(
    where=st.sampled_from(
        [(MADE, name) for name in ("clientDataJSON", "attestationObject")]
        + [(USED, name) for name in ("clientDataJSON", "authenticatorData", "signature", "userHandle")]
    ),
    at=st.integers(0, 400),
    cut=st.integers(0, 40),
    put=st.binary(max_size=40),
)
def test_a_good_answer_with_other_bytes_is_refused_in_one_way(
    where: tuple[Mapping[str, Any], str], at: int, cut: int, put: bytes
) -> None:
    answer, name = where
    before = websafe_decode(answer["response"][name])
    after = before[:at] + put + before[at + cut :]
    found = outcome({**answer, "response": {**answer["response"], name: websafe_encode(after)}})
    assert after == before or "Passed" not in found


@given(
    where=st.sampled_from(
        [("outer", n) for n in ("id", "rawId", "type", "response")]
        + [
            ("inner", n)
            for n in ("clientDataJSON", "attestationObject", "authenticatorData", "signature", "userHandle")
        ]
    ),
    put=ANYTHING,
)
def test_a_good_answer_with_a_strange_member_is_refused_in_one_way(where: tuple[str, str], put: object) -> None:
    level, name = where
    for answer in (MADE, USED):
        inner = {**answer, "response": {**answer["response"], name: put}}
        outcome(inner if level == "inner" else {**answer, name: put})


# Names ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("aaguid", "label"),
    [
        ("fbfc3007-154e-4ecc-8c0b-6e020557d7bd", "iCloud Keychain"),
        ("ea9b8d66-4d01-1d21-3ce4-b6b48cb575d4", "Google Password Manager"),
        ("08987058-cadc-4b81-b6e1-30de50dcbe96", "Windows Hello"),
        ("bada5566-a7aa-401f-bd96-45619a55120d", "1Password"),
        ("d548826e-79b4-db40-a3d8-11116f7e8349", "Bitwarden"),
        ("2fc0579f-8113-47ea-b116-bb5a8db9202a", "YubiKey 5 NFC"),
        ("00000000-0000-0000-0000-000000000000", "Passkey"),
        ("01234567-89ab-cdef-0123-456789abcdef", "Passkey"),
    ],
)
def test_a_passkey_is_named_for_what_made_it(authenticator: SoftwareAuthenticator, aaguid: str, label: str) -> None:
    made = register(authenticator, aaguid=UUID(aaguid).bytes)
    assert (made.label, made.secret["aaguid"]) == (label, aaguid)


def test_every_known_maker_is_written_as_it_is_looked_up() -> None:
    known = tomllib.loads(files("doorward.authenticators").joinpath("aaguids.toml").read_text("utf-8"))
    assert len(known) > 40
    assert [aaguid for aaguid in known if str(UUID(aaguid)) != aaguid] == []
    assert [name for name in known.values() if name != name.strip() or not 0 < len(name) <= 64] == []


# The kind, and the authenticator that all this was tried with --------------------------------------------------------


def test_passkeys_are_a_kind_that_raises_assurance() -> None:
    found = all_kinds()["passkey"]
    assert found is passkey.KIND
    assert (found.title, found.per_user, found.raises_assurance) == ("Passkey", 20, True)


def test_commands_do_not_pay_for_passkeys() -> None:
    """The library takes longer to import than the whole command line may."""
    program = (
        "import sys, doorward.authenticators.kinds.passkey; print(sorted({'webauthn', 'cbor2'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout == "[]\n"


def test_the_software_authenticator_keeps_to_what_it_is_asked() -> None:
    authenticator = SoftwareAuthenticator(algorithms=[RS256, EDDSA])
    made = register(authenticator)
    assert [one.alg for one in authenticator.residents] == [EDDSA]
    with pytest.raises(InvalidStateError):
        authenticator.create({**creation(), "excludeCredentials": [{"id": made.secret["credential_id"]}]}, PAGE)
    with pytest.raises(NotAllowedError):
        SoftwareAuthenticator(algorithms=[PS256]).create(creation(), PAGE)
    with pytest.raises(NotAllowedError):
        authenticator.get({**request(), "allowCredentials": [{"id": "AAEC"}]}, PAGE)
    with pytest.raises(NotAllowedError):
        SoftwareAuthenticator().get(request(), PAGE)
    with pytest.raises(SecurityError):
        authenticator.get(request(), "https://id.example.org.evil.test")
    authenticator.verifies = False
    with pytest.raises(NotAllowedError):
        authenticator.get(request("required"), PAGE)
    answer = authenticator.get(request("preferred"), PAGE)
    assert verify(answer, made, require_user_verification=False).amr == ("swk", "user")


def test_the_software_authenticator_has_one_passkey_for_each_user() -> None:
    authenticator = SoftwareAuthenticator()
    first, second = register(authenticator), register(authenticator)
    assert use(authenticator, second, {}).amr == ("swk", "user", "mfa")
    with pytest.raises(Refused, match="another passkey"):
        use(authenticator, first, {})
