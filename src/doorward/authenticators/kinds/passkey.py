"""Passkeys (WebAuthn level 3): what a browser is asked, and whether what it answers counts.

Everything here is pure. The caller makes a challenge of 16 random bytes or more, keeps it for five minutes and takes it
once, and sees to it that a credential id belongs to one user only (C29). Whatever a browser sends, the functions raise
Refused and nothing else.
"""

import hashlib
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Final, Literal, TypeAlias
from uuid import UUID

from doorward.authenticators.ceremony import (
    ALGORITHMS,
    MAX_ATTESTATION_BYTES,
    MAX_AUTHENTICATOR_DATA_BYTES,
    MAX_CLIENT_DATA_BYTES,
    MAX_HANDLE_BYTES,
    MAX_ID_BYTES,
    MAX_SIGNATURE_BYTES,
    Json,
    authenticator_data_within,
    check_authenticator_data,
    check_client_data,
    check_key,
    go_through_assertion,
    go_through_creation,
    json_object,
    read_authenticator_data,
    read_bytes,
)
from doorward.authenticators.kind import MFA, Passed, Refused, Secret, State
from doorward.authenticators.relying_party import RelyingParty
from doorward.kernel import base64url
from doorward.kernel.errors import Malformed
from doorward.kernel.msgid import msgid
from doorward.kernel.strict_json import loads

if TYPE_CHECKING:
    from webauthn.helpers.structs import AuthenticatorData

Verification: TypeAlias = Literal["required", "preferred"]
"""Whether an authenticator has to ask for a PIN, a finger or a face, or does so if it can."""

TIMEOUT_MILLISECONDS: Final = 300_000  # §15.1; challenges live as long (C29)
MAX_TEXT: Final = 16_384  # characters of an answer in a form's field
_PRESENCE: Final = "user"  # RFC 8176
_TRANSPORT = re.compile(r"[a-z][a-z-]{0,31}")
_MAX_TRANSPORTS = 8


@dataclass(frozen=True, slots=True)
class Passkey:
    """The kind."""

    name: str = "passkey"
    title: str = msgid("Passkey")
    per_user: int = 20
    raises_assurance: bool = True


@dataclass(frozen=True, slots=True)
class Registered:
    """A passkey that may be bound.

    `label`: what made it, as far as it says, else a msgid. `user_verified`: false only if it was made `conditional`.
    """

    credential_id: bytes
    secret: Secret = field(repr=False)
    state: State
    label: str
    user_verified: bool


# What a browser is asked ---------------------------------------------------------------------------------------------


def creation_options(
    rp: RelyingParty,
    *,
    challenge: bytes,
    user_handle: bytes,
    user_name: str,
    display_name: str,
    exclude: Sequence[Secret] = (),
    conditional: bool = False,
) -> Json:
    """What `PublicKeyCredential.parseCreationOptionsFromJSON` reads (§5.4).

    `user_handle`: random, 64 bytes at most, nothing personal in it (C31). `exclude`: the passkeys that the user has, so
    that no authenticator makes a second one. `conditional`: the browser makes it without a question (§5.1.3), and so
    cannot be told to have the user verified.
    """
    return {
        "rp": {"id": rp.id, "name": rp.name},
        "user": {"id": base64url.encode(user_handle), "name": user_name, "displayName": display_name},
        "challenge": base64url.encode(challenge),
        "pubKeyCredParams": [{"type": "public-key", "alg": alg} for alg in ALGORITHMS],
        "timeout": TIMEOUT_MILLISECONDS,
        "excludeCredentials": [_descriptor(secret) for secret in exclude],
        "authenticatorSelection": {
            "residentKey": "required",
            "requireResidentKey": True,  # the same, for browsers of level 1
            "userVerification": "preferred" if conditional else "required",
        },
        "hints": ["client-device", "hybrid", "security-key"],
        "attestation": "none",
    }


def request_options(
    rp: RelyingParty, *, challenge: bytes, verification: Verification, allow: Sequence[Secret] = ()
) -> Json:
    """What `PublicKeyCredential.parseRequestOptionsFromJSON` reads (§5.5).

    `allow`: the passkeys of the user who is asked. Empty when nobody is known yet: the browser then offers all that it
    has for this site, and the answer says whose it is. `verification`: "required" where nothing else is asked (C30).
    """
    return {
        "challenge": base64url.encode(challenge),
        "timeout": TIMEOUT_MILLISECONDS,
        "rpId": rp.id,
        "allowCredentials": [_descriptor(secret) for secret in allow],
        "userVerification": verification,
    }


def _descriptor(secret: Secret) -> Json:
    return {"type": "public-key", "id": secret["credential_id"], "transports": secret["transports"]}


# What it answers -----------------------------------------------------------------------------------------------------


def read_credential(text: str) -> Json:
    """An answer from a form's field. Raises Refused."""
    if len(text) > MAX_TEXT:
        raise Refused("answer too long")
    try:
        return json_object(loads(text.encode()))
    except (Malformed, UnicodeEncodeError) as error:
        raise Refused("answer is not JSON") from error


def challenge_of(credential: object) -> bytes:
    """Which challenge an answer says it is to, to be used up before anything is verified. Raises Refused."""
    response = json_object(json_object(credential).get("response"))
    client_data = read_bytes(response, "clientDataJSON", MAX_CLIENT_DATA_BYTES)
    try:
        return read_bytes(json_object(loads(client_data)), "challenge", MAX_CLIENT_DATA_BYTES)
    except Malformed as error:
        raise Refused("client data is not JSON") from error


def credential_id_of(credential: object) -> bytes:
    """Which passkey an answer says it is from. Raises Refused."""
    members = json_object(credential)
    if members.get("type") != "public-key":
        raise Refused("no public key credential")
    if members.get("id") != members.get("rawId"):
        raise Refused("two credential ids")
    found = read_bytes(members, "rawId", MAX_ID_BYTES)
    if not found:
        raise Refused("no credential id")
    return found


def lookup(credential_id: bytes) -> bytes:
    """What a passkey is found by."""
    return hashlib.sha256(credential_id).digest()


def label_of(aaguid: str) -> str:
    """The name of what made a passkey, or a msgid. Nobody vouches for it, so it is a first label only (UX-43)."""
    return _providers().get(aaguid, KIND.title)


def amr_of(secret: Secret) -> tuple[str, ...]:
    """What any use of a passkey shows (RFC 8176): a key, in hardware if it cannot be backed up, and somebody there."""
    return ("swk" if secret["backup_eligible"] else "hwk", _PRESENCE)


def is_shown(amr: Sequence[str]) -> bool:
    """Whether a passkey is among what was shown: nothing else tells of somebody's presence."""
    return _PRESENCE in amr


def verify_creation(rp: RelyingParty, challenge: bytes, credential: object, *, conditional: bool) -> Registered:
    """A new passkey (§7.1). Raises Refused.

    `conditional`: it was asked for as such, and its user need have been neither present nor verified.
    """
    credential_id = credential_id_of(credential)
    response = json_object(json_object(credential).get("response"))
    client_data = read_bytes(response, "clientDataJSON", MAX_CLIENT_DATA_BYTES)
    check_client_data(rp, challenge, client_data, "webauthn.create")
    raw = authenticator_data_within(read_bytes(response, "attestationObject", MAX_ATTESTATION_BYTES))
    data = read_authenticator_data(raw)
    check_authenticator_data(rp, data, present=not conditional, verified=not conditional)
    made = data.attested_credential_data
    if made is None:
        raise Refused("no passkey within")
    if made.credential_id != credential_id:
        raise Refused("another credential id within")
    check_key(made.credential_public_key)
    go_through_creation(rp, challenge, credential_id, client_data, raw, asked=not conditional)
    aaguid = str(UUID(bytes=made.aaguid))
    secret = {
        "credential_id": base64url.encode(credential_id),
        "public_key": base64url.encode(made.credential_public_key),
        "aaguid": aaguid,
        "transports": _transports(response.get("transports")),
        "backup_eligible": data.flags.be,
    }
    return Registered(credential_id, secret, _state(data, verified=data.flags.uv), label_of(aaguid), data.flags.uv)


def verify_assertion(  # noqa: PLR0913  all that the standard has us bring along
    rp: RelyingParty,
    challenge: bytes,
    credential: object,
    secret: Secret,
    state: State,
    *,
    user_handle: bytes,
    discovered: bool,
    require_user_verification: bool,
    beside_another: bool,
) -> Passed:
    """A use of a passkey (§7.2). Raises Refused.

    `user_handle`: its owner's. `discovered`: nobody was known before, so the answer has to say whose it is.
    `beside_another`: another factor was shown in this sign-in or session.

    That the user was verified is a factor of its own, but not the first time that an authenticator says so: whoever
    finds a key without a PIN can give it one (§4, uvInitialized). It is one from then on, if it came beside another.
    Only a passkey that was made `conditional` can be in that state.

    A signature count that did not go up is a warning: a sign of a copy, but no proof of one (C31).
    """
    credential_id = credential_id_of(credential)
    if base64url.encode(credential_id) != secret["credential_id"]:
        raise Refused("another passkey")
    response = json_object(json_object(credential).get("response"))
    _check_user_handle(response, user_handle, needed=discovered)
    client_data = read_bytes(response, "clientDataJSON", MAX_CLIENT_DATA_BYTES)
    check_client_data(rp, challenge, client_data, "webauthn.get")
    raw = read_bytes(response, "authenticatorData", MAX_AUTHENTICATOR_DATA_BYTES)
    data = read_authenticator_data(raw)
    check_authenticator_data(rp, data, present=True, verified=require_user_verification)
    if data.flags.be != secret["backup_eligible"]:
        raise Refused("backup eligibility changed")
    signature = read_bytes(response, "signature", MAX_SIGNATURE_BYTES)
    public_key = base64url.decode(secret["public_key"])
    go_through_assertion(rp, challenge, credential_id, public_key, client_data, raw, signature)
    trusted = bool(state["user_verified"])
    return Passed(
        state=_state(data, verified=trusted or (data.flags.uv and beside_another)),
        amr=(*amr_of(secret), *((MFA,) if trusted and data.flags.uv else ())),
        warning=_warning(state["sign_count"], data.sign_count),
    )


def _check_user_handle(response: Json, expected: bytes, *, needed: bool) -> None:
    if response.get("userHandle") is None:
        if needed:
            raise Refused("no user handle")
    elif read_bytes(response, "userHandle", MAX_HANDLE_BYTES) != expected:
        raise Refused("another user")


def _state(data: "AuthenticatorData", *, verified: bool) -> State:
    return {"sign_count": data.sign_count, "backed_up": data.flags.bs, "user_verified": verified}


def _warning(before: int, now: int) -> str | None:
    """Passkeys that are copied between devices do not count: they say 0 for ever."""
    return f"signature count went from {before} to {now}" if now <= before and (before or now) else None


def _transports(found: object) -> Sequence[str]:
    """How its authenticator is reached, ways that we have not heard of included (§4). It goes back to browsers only."""
    named = found if isinstance(found, list) else []
    return [way for way in named if isinstance(way, str) and _TRANSPORT.fullmatch(way)][:_MAX_TRANSPORTS]


@cache
def _providers() -> Mapping[str, str]:
    return tomllib.loads(files("doorward.authenticators").joinpath("aaguids.toml").read_text("utf-8"))


KIND: Final = Passkey()
