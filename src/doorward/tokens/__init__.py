"""Self-contained tokens: the keys that sign them, the JWKS that lets others verify, and our own strict verifier.

A token says who signed in and when; whether that session still lives is asked of the sessions room by its `sid`.
"""

from doorward.tokens.jose import ALGORITHMS, Jwk, import_key, verified
from doorward.tokens.keys import SigningKeys
from doorward.tokens.model import ACCESS_TOKEN_SECONDS, FIRST_PARTY, AppToken, Claims, Issued
from doorward.tokens.service import AccessTokens

__all__ = [
    "ACCESS_TOKEN_SECONDS",
    "ALGORITHMS",
    "FIRST_PARTY",
    "AccessTokens",
    "AppToken",
    "Claims",
    "Issued",
    "Jwk",
    "SigningKeys",
    "import_key",
    "verified",
]
