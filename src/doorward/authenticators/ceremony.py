"""What both ceremonies of WebAuthn level 3 have in common: reading what a browser sends, and checking it.

Everything raises Refused, and nothing else, whatever is sent. Our own checks come first: they name the reason for the
audit, and hold what py_webauthn lets pass. It then goes through the whole procedure of the standard once more.
"""

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from doorward.authenticators.cbor import NotPlain, end_of_item
from doorward.authenticators.kind import Refused
from doorward.authenticators.relying_party import RelyingParty
from doorward.kernel import base64url
from doorward.kernel.errors import Malformed
from doorward.kernel.strict_json import loads

if TYPE_CHECKING:
    from webauthn.helpers.structs import AuthenticatorData

Json: TypeAlias = Mapping[str, Any]
"""An object of JSON."""

ALGORITHMS: Final = (-7, -8, -257)  # ES256, which is everywhere; EdDSA; RS256 for the TPMs behind Windows Hello
MAX_ID_BYTES: Final = 1023  # of a credential id (§7.1)
MAX_HANDLE_BYTES: Final = 64  # of a user handle (§4)
MAX_CLIENT_DATA_BYTES: Final = 4096
MAX_AUTHENTICATOR_DATA_BYTES: Final = 4096  # 1.7 kilobytes with the longest id and key; extensions add a little
MAX_ATTESTATION_BYTES: Final = 8192  # some browsers send a statement, with certificates, although none was asked for
MAX_SIGNATURE_BYTES: Final = 1024
_RSA_BITS = range(2048, 4097)
_RSA_EXPONENT = 65537
# Authenticator data (§6.1): where the flags are, how much always comes, what the flags say may follow.
_FLAGS_AT, _ALWAYS, _CREDENTIAL, _EXTENSIONS = 32, 37, 0x40, 0x80
_AAGUID_BYTES, _LENGTH_BYTES = 16, 2
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


# Reading -------------------------------------------------------------------------------------------------------------


def json_object(found: object) -> Json:
    """`found`, if it is one."""
    if not isinstance(found, Mapping):
        raise Refused("no JSON object")
    return found


def read_bytes(members: Json, name: str, longest: int) -> bytes:
    """A member in base64url as browsers write it: no padding, no other letters, one spelling for the same bytes."""
    text = members.get(name)
    if not isinstance(text, str) or len(text) > -(-longest * 4 // 3):
        raise Refused(f"{name} is missing or too long")
    try:
        found = base64url.decode(text)
    except ValueError as error:
        raise Refused(f"{name} is not base64url") from error
    if base64url.encode(found) != text:
        raise Refused(f"{name} is not base64url")
    return found


def authenticator_data_within(attestation_object: bytes) -> bytes:
    """The only part of it that we read (§6.5)."""
    from webauthn.helpers import parse_cbor  # noqa: PLC0415  140 ms to import; only passkeys need it

    _check_cbor(attestation_object, items=1)
    with _refused("unreadable attestation object"):
        found = json_object(parse_cbor(attestation_object)).get("authData")
    if not isinstance(found, bytes) or len(found) > MAX_AUTHENTICATOR_DATA_BYTES:
        raise Refused("authenticator data is missing or too long")
    return found


def read_authenticator_data(raw: bytes) -> "AuthenticatorData":
    """What an authenticator says of itself, its user and, if it has just been made, the passkey (§6.1)."""
    from webauthn.helpers import parse_authenticator_data  # noqa: PLC0415  140 ms to import; only passkeys need it

    if len(raw) < _ALWAYS:
        raise Refused("unreadable authenticator data")
    flags, rest = raw[_FLAGS_AT], raw[_ALWAYS:]
    if flags & _CREDENTIAL:
        length = int.from_bytes(rest[_AAGUID_BYTES:][:_LENGTH_BYTES], "big")
        if length > MAX_ID_BYTES:
            raise Refused("credential id too long")
        rest = rest[_AAGUID_BYTES + _LENGTH_BYTES + length :]
    _check_cbor(rest, items=bool(flags & _CREDENTIAL) + bool(flags & _EXTENSIONS))
    with _refused("unreadable authenticator data"):
        return parse_authenticator_data(raw)


def _check_cbor(data: bytes, *, items: int) -> None:
    end = 0
    try:
        for _ in range(items):
            end = end_of_item(data, end)
    except NotPlain as error:
        raise Refused(f"CBOR: {error}") from error
    if end != len(data):
        raise Refused("CBOR: bytes left over")


# Checking ------------------------------------------------------------------------------------------------------------


def check_client_data(rp: RelyingParty, challenge: bytes, raw: bytes, wanted: str) -> None:
    """What the browser vouches for: which page asked, and for what (§5.8.1)."""
    try:
        found = json_object(loads(raw.removeprefix(_BYTE_ORDER_MARK)))  # the standard has it taken away
    except Malformed as error:
        raise Refused("client data is not JSON") from error
    if found.get("type") != wanted:
        raise Refused("wrong type")
    if found.get("challenge") != base64url.encode(challenge):
        raise Refused("wrong challenge")
    if found.get("origin") not in tuple(rp.origins):  # a set cannot be asked for a list, and one may be sent
        raise Refused("wrong origin")
    # Our pages let nobody frame them: whoever shows one inside another site's page is up to something.
    if found.get("crossOrigin", False) is not False or "topOrigin" in found:
        raise Refused("within a page of another origin")


def check_authenticator_data(rp: RelyingParty, data: "AuthenticatorData", *, present: bool, verified: bool) -> None:
    """What the authenticator vouches for. `present`, `verified`: what is asked of its user."""
    if data.rp_id_hash != hashlib.sha256(rp.id.encode()).digest():
        raise Refused("wrong relying party")
    if present and not data.flags.up:
        raise Refused("user not present")
    if verified and not data.flags.uv:
        raise Refused("user not verified")
    if data.flags.bs and not data.flags.be:
        raise Refused("backed up, but not eligible for it")


def check_key(public_key: bytes) -> None:
    """Whether it is a key for an algorithm that was offered, and could verify a signature (§5.8.5).

    py_webauthn looks at the algorithm alone. A curve that does not belong to it, or a point that is on none, would show
    when its owner first wants to sign in.
    """
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa  # noqa: PLC0415  as the next
    from webauthn.helpers import decode_credential_public_key  # noqa: PLC0415  140 ms to import; only passkeys need it
    from webauthn.helpers.decoded_public_key_to_cryptography import (  # noqa: PLC0415  as before
        decoded_public_key_to_cryptography,
    )

    with _refused("unreadable public key"):
        decoded = decode_credential_public_key(public_key)
        key = decoded_public_key_to_cryptography(decoded)
    match decoded.alg, key:
        case -7, ec.EllipticCurvePublicKey(curve=ec.SECP256R1()):
            return
        case -8, ed25519.Ed25519PublicKey():
            return
        case -257, rsa.RSAPublicKey() if key.key_size in _RSA_BITS and key.public_numbers().e == _RSA_EXPONENT:
            return
    raise Refused("algorithm not offered")


def go_through_creation(
    rp: RelyingParty, challenge: bytes, credential_id: bytes, client_data: bytes, raw: bytes, *, asked: bool
) -> None:
    """The procedure of §7.1. `raw`: the authenticator data; `asked`: the user was, and had to be verified.

    The attestation statement stays outside: none was asked for, it would say no more than who made the authenticator,
    and its formats have certificates of strangers parsed.
    """
    from webauthn import verify_registration_response  # noqa: PLC0415  140 ms to import; only passkeys need it
    from webauthn.helpers import encode_cbor, structs  # noqa: PLC0415  as before
    from webauthn.helpers.cose import COSEAlgorithmIdentifier  # noqa: PLC0415  as before

    unattested = encode_cbor({"fmt": "none", "attStmt": {}, "authData": raw})
    response = structs.AuthenticatorAttestationResponse(client_data, unattested)
    with _refused("refused by py_webauthn"):
        verify_registration_response(
            credential=structs.RegistrationCredential(base64url.encode(credential_id), credential_id, response),
            expected_challenge=challenge,
            expected_rp_id=rp.id,
            expected_origin=list(rp.origins),
            require_user_presence=asked,
            require_user_verification=asked,
            supported_pub_key_algs=[COSEAlgorithmIdentifier(alg) for alg in ALGORITHMS],
        )


def go_through_assertion(
    rp: RelyingParty,
    challenge: bytes,
    credential_id: bytes,
    public_key: bytes,
    client_data: bytes,
    raw: bytes,
    signature: bytes,
) -> None:
    """The procedure of §7.2, the signature above all. `raw`: the authenticator data."""
    from webauthn import verify_authentication_response  # noqa: PLC0415  140 ms to import; only passkeys need it
    from webauthn.helpers import structs  # noqa: PLC0415  as before

    response = structs.AuthenticatorAssertionResponse(client_data, raw, signature)
    with _refused("wrong signature"):
        verify_authentication_response(
            credential=structs.AuthenticationCredential(base64url.encode(credential_id), credential_id, response),
            expected_challenge=challenge,
            expected_rp_id=rp.id,
            expected_origin=list(rp.origins),
            credential_public_key=public_key,
            credential_current_sign_count=0,  # it would refuse one that went back
        )


@contextmanager
def _refused(reason: str) -> Iterator[None]:
    """Besides exceptions of its own, the library lets out what strange bytes make its parts raise: KeyError and so on.

    Only calls of the library stand in such a block, so that no mistake of ours hides in it.
    """
    try:
        yield
    except Exception as error:
        raise Refused(reason) from error
