"""What apps sign: proofs of possession (RFC 9449) and client assertions (RFC 7523). Each counts once."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from joserfc.errors import JoseError

from doorward.kernel import base64url, strict_json
from doorward.kernel.errors import ClientRefused, Malformed, OAuthRefused
from doorward.kernel.instant import SECOND
from doorward.oidc import store
from doorward.oidc.model import ASSERTION_SECONDS, PROOF_SECONDS, Client, hash_of
from doorward.ports import Clock, Database
from doorward.tokens import ALGORITHMS, Jwk, import_key, verified

ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_LONGEST: Final = 8192
_COMPACT: Final = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_JTI_LONGEST: Final = 200
_PRIVATE: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})


@dataclass(frozen=True, slots=True)
class SignedStatements:
    """Checks them, and remembers those that were used, for all workers and nodes."""

    db: Database
    clock: Clock
    issuer: str

    async def proof(self, header: str | None, method: str, path: str, token: str | None = None) -> str | None:
        """The thumbprint (RFC 7638) of the key that a DPoP proof shows; None without a proof.

        `token`: the access token that comes with it, if one does (`ath`). Raises OAuthRefused with invalid_dpop_proof.
        """
        if header is None:
            return None
        try:
            jose, payload = _split(header)
            key = _verify(header, jose, _key_of_proof(jose))
            self._check_proof(payload, method, path, token)
            thumbprint = str(key.thumbprint())
            await self._once(f"dpop\0{thumbprint}", payload, int(payload["iat"]) + 2 * PROOF_SECONDS)
        except (ValueError, JoseError, Malformed) as error:
            raise OAuthRefused("invalid_dpop_proof", "the DPoP proof does not count", reason=str(error)) from error
        return thumbprint

    def _check_proof(self, payload: Mapping[str, Any], method: str, path: str, token: str | None) -> None:
        now = self.clock.now() // SECOND
        uri = str(payload.get("htu", "")).partition("#")[0].partition("?")[0]
        if payload.get("htm") != method or uri != f"{self.issuer}{path}":
            raise ValueError("htm or htu")
        issued = payload.get("iat")
        if type(issued) is not int or abs(now - issued) > PROOF_SECONDS:
            raise ValueError("iat")
        if token is not None and payload.get("ath") != hash_of(token):
            raise ValueError("ath")

    async def assertion(self, client: Client, assertion: str) -> None:
        """Believe that `client` signed this to prove who it is. Raises ClientRefused."""
        try:
            jose, payload = _split(assertion)
            expires = self._check_assertion(payload, client)
            self._verify_registered(assertion, jose, client)
            await self._once(f"assertion\0{client.id}", payload, expires)
        except (ValueError, JoseError, Malformed) as error:
            raise ClientRefused(reason=f"client assertion: {error}") from error

    def _check_assertion(self, payload: Mapping[str, Any], client: Client) -> int:
        if payload.get("iss") != client.id or payload.get("sub") != client.id:
            raise ValueError("iss or sub")
        if payload.get("aud") not in (self.issuer, f"{self.issuer}/oauth/token"):
            raise ValueError("aud")
        now, expires = self.clock.now() // SECOND, payload.get("exp")
        if type(expires) is not int or not now < expires <= now + ASSERTION_SECONDS:
            raise ValueError("exp")
        begins = payload.get("nbf", now)
        if type(begins) is not int or begins > now + PROOF_SECONDS:
            raise ValueError("nbf")
        return expires

    def _verify_registered(self, assertion: str, jose: Mapping[str, Any], client: Client) -> None:
        """Only registered keys count, whatever the header brings along (C49)."""
        keys = list((client.jwks or {}).get("keys", ()))
        if "kid" in jose:
            keys = [key for key in keys if key.get("kid") == jose["kid"]]
        for jwk in keys:
            if import_key(jwk)[0] == jose.get("alg"):
                _verify(assertion, jose, jwk)
                return
        raise ValueError("no registered key of that kid and alg")

    async def _once(self, whose: str, payload: Mapping[str, Any], until: int) -> None:
        jti = payload.get("jti")
        if not isinstance(jti, str) or not 0 < len(jti) <= _JTI_LONGEST:
            raise ValueError("jti")
        used = hashlib.sha256(f"{whose}\0{jti}".encode("utf-8", "backslashreplace")).digest()
        if not await self.db.write(lambda: store.use_proof(used, until * SECOND)):
            raise ValueError("used before")


def subject_of(assertion: str) -> str:
    """Whom an assertion names, before anything in it is believed. Raises ValueError when it cannot be read."""
    try:
        return str(_split(assertion)[1].get("sub", ""))
    except Malformed as error:
        raise ValueError("not JSON") from error


def check_public_keys(jwks: object) -> Mapping[str, Any]:
    """A JWK Set of public keys that a client may register. Raises ValueError, saying what is wrong with it."""
    keys = jwks.get("keys") if isinstance(jwks, dict) else None
    if not isinstance(keys, list) or not keys or not all(isinstance(key, dict) for key in keys):
        raise ValueError('the file holds no {"keys": [...]}')
    for key in keys:
        if _PRIVATE & key.keys():
            raise ValueError("a key is private: register the public halves")
        try:
            import_key(key)
        except JoseError as error:
            raise ValueError(f"a key cannot be read: {error}") from error
    return {"keys": keys}


def _split(text: str) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    if len(text) > _LONGEST or _COMPACT.fullmatch(text) is None:
        raise ValueError("not a compact JWS")
    head, body, _ = text.split(".")
    return _object(head), _object(body)


def _object(segment: str) -> Mapping[str, Any]:
    found = strict_json.loads(base64url.decode(segment))
    if not isinstance(found, dict):
        raise ValueError("not an object")  # noqa: TRY004  one kind of refusal for all
    return found


def _key_of_proof(jose: Mapping[str, Any]) -> Mapping[str, Any]:
    jwk = jose.get("jwk")
    if jose.get("typ") != "dpop+jwt" or not isinstance(jwk, dict) or _PRIVATE & jwk.keys():
        raise ValueError("typ or jwk")
    return jwk


def _verify(text: str, jose: Mapping[str, Any], jwk: Mapping[str, Any]) -> Jwk:
    if "crit" in jose:
        raise ValueError("crit")
    alg, key = import_key(jwk)
    if jose.get("alg") != alg or alg not in ALGORITHMS:
        raise ValueError("alg")
    verified(text, key, alg)
    return key
