"""The three signature algorithms that we use, by the names that tokens carry (RFC 7518, RFC 8037)."""

import json
from collections.abc import Mapping
from typing import Any, Final, TypeAlias

from joserfc import jws
from joserfc.jwk import ECKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

Jwk: TypeAlias = ECKey | OKPKey | RSAKey

ES256, EDDSA, RS256 = "ES256", "EdDSA", "RS256"
ALGORITHMS: Final = (ES256, EDDSA, RS256)  # the first is the default
RSA_BITS: Final = 3072  # of our own; ASVS 11.2.3: 128 bits of security
RSA_LEAST_BITS: Final = 2048  # of others' (RFC 7518 §3.3)


class _Registry(JWSRegistry):
    """Knows Ed25519 by the name that every library of today knows, too; RFC 9864 has another one for it."""

    def get_alg(self, name: str) -> Any:  # noqa: ANN401  the library's own type is private
        """The algorithm of a header."""
        if name == EDDSA and name in (self.allowed or ()):
            return self.algorithms["Ed25519"]
        return super().get_alg(name)


_REGISTRIES: Final = {alg: _Registry(algorithms=[alg]) for alg in ALGORITHMS}


def generate(alg: str) -> Jwk:
    """Make a private key. An RSA key takes a quarter of a second and more."""
    if alg == EDDSA:
        return OKPKey.generate_key("Ed25519", private=True)
    return RSAKey.generate_key(RSA_BITS, private=True) if alg == RS256 else ECKey.generate_key("P-256", private=True)


def import_key(document: Mapping[str, Any]) -> tuple[str, Jwk]:
    """A JWK and the one algorithm that we use it with. Raises ValueError for every other kind of key."""
    # What a key says that it is for is compared here: the library knows Ed25519 by its new name only.
    plain = {name: value for name, value in document.items() if name != "alg"}
    alg, key = _imported(plain)
    names = {alg, "Ed25519"} if alg == EDDSA else {alg}
    if document.get("alg", alg) not in names or document.get("use", "sig") != "sig":
        raise ValueError(f"the key is not meant for signatures of {alg}")
    return alg, key


def _imported(document: dict[str, Any]) -> tuple[str, Jwk]:
    match document.get("kty"), document.get("crv"):
        case "EC", "P-256":
            return ES256, ECKey.import_key(document)
        case "OKP", "Ed25519":
            return EDDSA, OKPKey.import_key(document)
        case "RSA", None:
            modulus = document.get("n")
            if not isinstance(modulus, str) or len(modulus) * 6 < RSA_LEAST_BITS:
                raise ValueError("an RSA key has 2048 bits or more")
            return RS256, RSAKey.import_key(document)
        case _:
            raise ValueError("a key is EC on P-256, OKP on Ed25519, or RSA")


def sign(header: Mapping[str, str], claims: Mapping[str, Any], key: Jwk) -> str:
    """A compact JWS (RFC 7515 §7.1) under the algorithm that the header names."""
    payload = json.dumps(claims, separators=(",", ":"), allow_nan=False).encode()
    return jws.serialize_compact(dict(header), payload, key, registry=_REGISTRIES[header["alg"]])


def verified(token: str, key: Jwk, alg: str) -> bytes:
    """The payload of a compact JWS that `key` signed under exactly `alg`. Raises joserfc's JoseError, ValueError."""
    return jws.deserialize_compact(token, key, registry=_REGISTRIES[alg]).payload
