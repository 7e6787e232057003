"""What the issuer publishes about itself: where its endpoints are, and the keys that verify its tokens."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey

from doorward_client.clock import Clock
from doorward_client.errors import Unavailable
from doorward_client.flows import Answer, Call, Exclusive, Flow
from doorward_client.jws import decode, verify
from doorward_client.strict_json import read_object

MAX_ANSWER_BYTES = 1 << 20
RETRY_SECONDS = 5.0  # strangers' key ids make us ask no more often
USUAL_AGE_SECONDS = 600.0
GREATEST_AGE_SECONDS = 3600.0  # while the issuer does not answer
MIN_RSA_BITS = 2048


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """A public key and the one algorithm it is for (RFC 8725 §3.1): a token has no say in it."""

    kid: str
    alg: str
    jwk: ECKey | OKPKey | RSAKey

    @classmethod
    def read(cls, jwk: Mapping[str, Any], kid: str) -> "VerificationKey":
        """Take a JWK. Raises ValueError when it is private, of another use, too weak, or of no algorithm we know."""
        if "d" in jwk or jwk.get("use", "sig") != "sig":
            raise ValueError("not a public key for signatures")
        key: ECKey | OKPKey | RSAKey
        alg: str
        try:
            match jwk.get("kty"), jwk.get("crv"):
                case "EC", "P-256":
                    key, alg = ECKey.import_key(dict(jwk)), "ES256"
                case "OKP", "Ed25519":
                    key, alg = OKPKey.import_key(dict(jwk)), "EdDSA"
                case "RSA", _ if len(decode(jwk["n"])) * 8 >= MIN_RSA_BITS:
                    key, alg = RSAKey.import_key(dict(jwk)), "RS256"
                case _:
                    raise ValueError("kty")
        except (JoseError, TypeError, KeyError) as error:
            raise ValueError("no key") from error
        if jwk.get("alg", alg) not in {alg, "Ed25519" if alg == "EdDSA" else alg}:
            raise ValueError("alg")
        return cls(kid, alg, key)

    def verifies(self, signed: bytes, signature: bytes) -> bool:
        """Whether `signature` is this key's for these bytes."""
        return verify(self.alg, signed, signature, self.jwk)


@dataclass(frozen=True, slots=True)
class Metadata:
    """The members of OpenID Connect Discovery that a client of Doorward needs."""

    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    introspection_endpoint: str
    revocation_endpoint: str
    doorward_revocations_endpoint: str

    @classmethod
    def read(cls, document: Mapping[str, Any], issuer: str) -> "Metadata":
        """Take them out of a document. Raises ValueError when it is another issuer's or leads to another server."""
        if document.get("issuer") != issuer:
            raise ValueError("the document is of another issuer")
        found = {name: document.get(name) for name in cls.__slots__}
        for name, url in found.items():
            if not isinstance(url, str) or urlsplit(url)[:2] != urlsplit(issuer)[:2]:
                raise ValueError(name)
        return cls(**found)  # type: ignore[arg-type]  # the loop has seen that they are texts


@dataclass
class Provider:
    """Asks once, keeps what it heard, and asks anew when a key is unknown, at most every five seconds."""

    issuer: str
    clock: Clock
    on_key_dropped: Callable[[], None] = lambda: (
        None
    )  # what a key has verified that is published no more counts no more
    _metadata: Metadata | None = field(default=None, init=False)
    _keys: Mapping[str, VerificationKey] = field(default_factory=dict, init=False)
    _read_at: float | None = field(default=None, init=False)
    _tried_at: float | None = field(default=None, init=False)

    def metadata(self) -> Flow[Metadata]:
        """Where the endpoints are. Raises Unavailable."""
        if self._metadata is None:
            document = yield from read_json(Call("GET", f"{self.issuer}/.well-known/openid-configuration"))
            try:
                self._metadata = Metadata.read(document, self.issuer)
            except ValueError as error:
                raise Unavailable(f"the issuer's metadata: {error}") from error
        return self._metadata

    def known(self, kid: str) -> VerificationKey | None:
        """A key that was read not too long ago, without asking anybody."""
        return self._keys.get(kid) if self._age() < USUAL_AGE_SECONDS else None

    def find(self, kid: str) -> Flow[VerificationKey | None]:
        """The key of this id, or None if the issuer has none such. Raises Unavailable if no keys can be had."""
        key = self.known(kid)
        if key is None:
            yield Exclusive("keys", lambda: self._refresh(kid))
            key = self._keys.get(kid)
        return key

    def _refresh(self, kid: str) -> Flow[None]:
        now = self.clock.monotonic()
        if self.known(kid) is not None:
            return  # somebody else has just read it
        if self._tried_at is not None and now - self._tried_at < RETRY_SECONDS:
            if self._read_at is None:
                raise Unavailable("the issuer's keys could not be had a moment ago")
            return
        try:
            metadata = yield from self.metadata()
            before, self._keys = self._keys, _keys((yield from read_json(Call("GET", metadata.jwks_uri))))
            if before.keys() - self._keys.keys():
                self.on_key_dropped()
        except Unavailable:
            if self._age() >= GREATEST_AGE_SECONDS:
                self._keys, self._read_at = {}, None
                raise
        else:
            self._read_at = now
        finally:
            self._tried_at = self.clock.monotonic()  # now, as those who waited meanwhile would each try as long again

    def _age(self) -> float:
        return float("inf") if self._read_at is None else self.clock.monotonic() - self._read_at


def read_json(call: Call) -> Flow[dict[str, Any]]:
    """The JSON object that answers a call with status 200. Raises Unavailable."""
    answer: Answer = yield call
    if answer.status != HTTPStatus.OK:
        raise Unavailable(f"the issuer answered {answer.status}")
    return json_of(answer)


def json_of(answer: Answer) -> dict[str, Any]:
    """The JSON object of an answer. Raises Unavailable when there is none."""
    try:
        return read_object(answer.body)
    except ValueError as error:
        raise Unavailable("the issuer's answer is not a JSON object") from error


def _keys(document: Mapping[str, Any]) -> dict[str, VerificationKey]:
    """Those keys of a JWK Set that we can use; one we cannot does not take the others away."""
    found: dict[str, VerificationKey] = {}
    listed = document.get("keys")
    for jwk in listed if isinstance(listed, list) else []:
        kid = jwk.get("kid") if isinstance(jwk, dict) else None
        if not isinstance(kid, str):
            continue
        if kid in found:
            raise Unavailable("the issuer's keys: one id twice")
        try:
            found[kid] = VerificationKey.read(jwk, kid)
        except ValueError:
            continue
    return found
