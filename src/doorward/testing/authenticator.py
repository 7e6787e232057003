"""An authenticator and the browser in front of it, in software: answers options as `toJSON()` would.

By default it does what a good one does, and every byte of an answer can be another one: `create` and `get` take tweaks
by name. What is tweaked is signed as it stands, so that a refusal is due to the tweak and not to the signature.

    ada = SoftwareAuthenticator()
    made = ada.create(creation_options, "https://id.example.org")
    used = ada.get(request_options, "https://id.example.org", uv=False)
"""

import hashlib
import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypedDict, Unpack
from urllib.parse import urlsplit

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

from doorward.kernel import base64url
from doorward.testing import cbor

Json: TypeAlias = Mapping[str, Any]
Key: TypeAlias = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey

ES256, EDDSA, RS256 = -7, -8, -257
ES512, PS256 = -36, -37  # never offered: for tests of that
_CURVES = {"secp256r1": 1, "secp521r1": 3}  # RFC 9053 §7.1
UP, UV, BE, BS, AT, ED = 0x01, 0x04, 0x08, 0x10, 0x40, 0x80


class NotAllowedError(Exception):
    """The user said no, or there is no passkey that would do."""


class InvalidStateError(Exception):
    """The authenticator has a passkey of that user already."""


class SecurityError(Exception):
    """The page is not of the domain that it speaks for."""


class Tweaks(TypedDict, total=False):
    """What both ceremonies may be told to do otherwise."""

    type: str  # of the client data
    challenge: str  # as it stands there, in base64url
    origin: str  # that the browser claims; the page's own is checked all the same
    cross_origin: bool
    top_origin: str
    more_client_data: Mapping[str, object]  # further members; None takes a member away
    client_data: bytes  # all of it
    rp_id: str  # whose hash the authenticator data has
    up: bool
    uv: bool
    be: bool
    bs: bool
    sign_count: int
    extensions: bytes  # CBOR at the end of the authenticator data, with the flag that says so
    left_over: bytes  # what comes after the end of the authenticator data
    authenticator_data: bytes  # all of it
    id: str  # of the JSON, as it stands there
    raw_id: str
    credential_type: str


class CreateTweaks(Tweaks, total=False):
    """What making a passkey may be told to do otherwise."""

    alg: int  # instead of the first that is offered and known
    key: Key  # instead of a new one; goes with alg
    aaguid: bytes
    credential_id: bytes
    public_key: bytes  # COSE, as it stands
    attested: bool  # whether there is a passkey in the authenticator data
    fmt: str
    statement: Mapping[str, object]
    attestation_object: bytes  # all of it
    transports: object


class GetTweaks(Tweaks, total=False):
    """What using a passkey may be told to do otherwise."""

    wrong_key: bool  # sign with a new one
    signature: bytes
    user_handle: bytes | None


@dataclass(slots=True)
class Resident:
    """A passkey as its authenticator keeps it."""

    id: bytes
    rp_id: str
    user_handle: bytes
    user_name: str
    alg: int
    key: Key
    sign_count: int = 0

    @property
    def public_key(self) -> bytes:
        """COSE_Key (RFC 9052 §7)."""
        return cbor.encode({3: self.alg, **_members(self.key)})


@dataclass(slots=True)
class SoftwareAuthenticator:
    """Keeps passkeys and uses them.

    `algorithms`: that it knows. `verifies`: whether it can tell who its user is. `backed_up`: whether its passkeys are
    copied elsewhere. `counts`: whether it counts signatures.
    """

    algorithms: Sequence[int] = (ES256, EDDSA, RS256)
    aaguid: bytes = bytes(16)
    verifies: bool = True
    backed_up: bool = True
    counts: bool = False
    transports: Sequence[str] = ("hybrid", "internal")
    residents: list[Resident] = field(default_factory=list)

    def create(
        self, options: Json, page: str, *, conditional: bool = False, **tweaks: Unpack[CreateTweaks]
    ) -> dict[str, Any]:
        """`navigator.credentials.create` on `page`, an origin. `conditional`: the user is not asked.

        Raises SecurityError, InvalidStateError when a passkey is excluded, NotAllowedError when nothing fits.
        """
        rp_id, selection = options["rp"]["id"], options.get("authenticatorSelection", {})
        _check_domain(page, rp_id)
        excluded = {base64url.decode(one["id"]) for one in options.get("excludeCredentials", ())}
        if any(one.id in excluded and one.rp_id == rp_id for one in self.residents):
            raise InvalidStateError
        offered = [one["alg"] for one in options["pubKeyCredParams"] if one["alg"] in self.algorithms]
        if "alg" not in tweaks and not offered:
            raise NotAllowedError
        uv = not conditional and self._verify(selection.get("userVerification", "preferred"))
        alg = tweaks["alg"] if "alg" in tweaks else offered[0]
        user = options["user"]
        made = Resident(
            id=tweaks.get("credential_id", secrets.token_bytes(32)),
            rp_id=rp_id,
            user_handle=base64url.decode(user["id"]),
            user_name=user["name"],
            alg=alg,
            key=tweaks["key"] if "key" in tweaks else new_key(alg),
            sign_count=int(self.counts),
        )
        self.residents = [r for r in self.residents if (r.rp_id, r.user_handle) != (rp_id, made.user_handle)] + [made]
        attested = b""
        if tweaks.get("attested", True):
            length = len(made.id).to_bytes(2, "big")
            attested = tweaks.get("aaguid", self.aaguid) + length + made.id + tweaks.get("public_key", made.public_key)
        data = self._authenticator_data(made, tweaks, up=not conditional, uv=uv, attested=attested)
        statement = {"fmt": tweaks.get("fmt", "none"), "attStmt": tweaks.get("statement", {}), "authData": data}
        return _credential(
            made,
            tweaks,
            {
                "clientDataJSON": _client_data("webauthn.create", options, page, tweaks),
                "authenticatorData": data,
                "attestationObject": tweaks.get("attestation_object", cbor.encode(statement)),
                "transports": tweaks.get("transports", list(self.transports)),
                "publicKeyAlgorithm": alg,
            },
        )

    def get(self, options: Json, page: str, **tweaks: Unpack[GetTweaks]) -> dict[str, Any]:
        """`navigator.credentials.get` on `page`, an origin: the newest passkey that fits.

        Raises SecurityError, and NotAllowedError when none does.
        """
        rp_id = options["rpId"]
        _check_domain(page, rp_id)
        allowed = [base64url.decode(one["id"]) for one in options.get("allowCredentials", ())]
        fitting = [one for one in self.residents if one.rp_id == rp_id and (not allowed or one.id in allowed)]
        if not fitting:
            raise NotAllowedError
        used = fitting[-1]
        uv = self._verify(options.get("userVerification", "preferred"))
        used.sign_count += self.counts
        data = self._authenticator_data(used, tweaks, up=True, uv=uv)
        client_data = _client_data("webauthn.get", options, page, tweaks)
        key = new_key(used.alg) if tweaks.get("wrong_key") else used.key
        signature = tweaks["signature"] if "signature" in tweaks else sign(key, used.alg, data + _sha256(client_data))
        handle = tweaks.get("user_handle", used.user_handle)
        return _credential(
            used,
            tweaks,
            {
                "clientDataJSON": client_data,
                "authenticatorData": data,
                "signature": signature,
                **({} if handle is None else {"userHandle": handle}),
            },
        )

    def _verify(self, wanted: str) -> bool:
        if wanted == "required" and not self.verifies:
            raise NotAllowedError
        return self.verifies and wanted != "discouraged"

    def _authenticator_data(self, one: Resident, tweaks: Tweaks, *, up: bool, uv: bool, attested: bytes = b"") -> bytes:
        if "authenticator_data" in tweaks:
            return tweaks["authenticator_data"]
        said = {
            UP: tweaks.get("up", up),
            UV: tweaks.get("uv", uv),
            BE: tweaks.get("be", self.backed_up),
            BS: tweaks.get("bs", self.backed_up),
            AT: bool(attested),
            ED: "extensions" in tweaks,
        }
        flags = sum(bit for bit, holds in said.items() if holds)
        header = _sha256(tweaks.get("rp_id", one.rp_id).encode()) + bytes([flags])
        count = tweaks.get("sign_count", one.sign_count).to_bytes(4, "big")
        return header + count + attested + tweaks.get("extensions", b"") + tweaks.get("left_over", b"")


def new_key(alg: int) -> Key:
    """A private key for a COSE algorithm."""
    match alg:
        case -7:
            return ec.generate_private_key(ec.SECP256R1())
        case -36:
            return ec.generate_private_key(ec.SECP521R1())
        case -8:
            return ed25519.Ed25519PrivateKey.generate()
        case -257 | -37:
            return rsa.generate_private_key(65537, 2048)
        case _:
            raise NotAllowedError(alg)


def sign(key: Key, alg: int, message: bytes) -> bytes:
    """As the COSE algorithm has it (RFC 9053, RFC 8812)."""
    match key:
        case ec.EllipticCurvePrivateKey():
            return key.sign(message, ec.ECDSA(hashes.SHA512() if alg == ES512 else hashes.SHA256()))
        case ed25519.Ed25519PrivateKey():
            return key.sign(message)
        case rsa.RSAPrivateKey():
            return key.sign(message, padding.PKCS1v15(), hashes.SHA256())


def _members(key: Key) -> dict[int, int | bytes]:
    """Of a COSE_Key: type, curve and numbers (RFC 9053 §7, RFC 8230 §4)."""
    match key.public_key():
        case ec.EllipticCurvePublicKey() as public:
            at, size = public.public_numbers(), (public.curve.key_size + 7) // 8
            curve = _CURVES[public.curve.name]
            return {1: 2, -1: curve, -2: at.x.to_bytes(size, "big"), -3: at.y.to_bytes(size, "big")}
        case ed25519.Ed25519PublicKey() as public:
            return {1: 1, -1: 6, -2: public.public_bytes_raw()}
        case rsa.RSAPublicKey() as public:
            of = public.public_numbers()
            return {1: 3, -1: _whole(of.n), -2: _whole(of.e)}


def _whole(number: int) -> bytes:
    return number.to_bytes((number.bit_length() + 7) // 8, "big")


def _check_domain(page: str, rp_id: str) -> None:
    parts = urlsplit(page)
    host = parts.hostname or ""
    secure = parts.scheme == "https" or host == "localhost"
    if not secure or (host != rp_id and not host.endswith(f".{rp_id}")):
        raise SecurityError(page, rp_id)


def _client_data(kind: str, options: Json, page: str, tweaks: Tweaks) -> bytes:
    if "client_data" in tweaks:
        return tweaks["client_data"]
    members: dict[str, object] = {
        "type": tweaks.get("type", kind),
        "challenge": tweaks.get("challenge", options["challenge"]),
        "origin": tweaks.get("origin", page),
        "crossOrigin": tweaks.get("cross_origin", False),
        **({"topOrigin": tweaks["top_origin"]} if "top_origin" in tweaks else {}),
        **tweaks.get("more_client_data", {}),
    }
    return json.dumps({name: value for name, value in members.items() if value is not None}).encode()


def _credential(one: Resident, tweaks: Tweaks, response: Json) -> dict[str, Any]:
    written = {name: base64url.encode(v) if isinstance(v, bytes) else v for name, v in response.items()}
    return {
        "id": tweaks.get("id", base64url.encode(one.id)),
        "rawId": tweaks.get("raw_id", base64url.encode(one.id)),
        "type": tweaks.get("credential_type", "public-key"),
        "authenticatorAttachment": "platform",
        "clientExtensionResults": {},
        "response": written,
    }


def _sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()
