"""What must never be shown: names whose values are secrets, and texts that look like credentials."""

import re
from functools import lru_cache

REDACTED = "[redacted]"

_WORDS = (
    "api_key",
    "authorization",
    "cookie",
    "credential",
    "credentials",
    "digest",
    "jwt",
    "passphrase",
    "passwd",
    "password",
    "private_key",
    "secret",
    "token",
)
_NAMES = frozenset({"assertion", "code", "d", "dpop", "otp", "pin", "seed"})
_CODES = re.compile(r"(?:authorization|backup|device|email|one_time|recovery|sms|totp|user)_codes?")

# Repeats that may be followed by a mismatch are bounded, so that no text takes more than linear time.
_TEXTS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"eyJ[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*){0,4}"), REDACTED),  # JWS and JWE
    (re.compile(r"(?i)\b(basic|bearer|dpop)\s{1,8}[A-Za-z0-9._~+/=-]{16,}"), rf"\1 {REDACTED}"),
    (re.compile(r"(__(?:Host|Secure)-[\w.-]{1,64})=[^;\s]+"), rf"\1={REDACTED}"),
    (re.compile(r"\$(?:argon2\w{0,2}|2[abxy]|scrypt|pbkdf2[\w-]{0,20})\$[^\s'\"]+"), REDACTED),  # password digests
    (re.compile(r"(?i)([?&](?:code|key|state)=)[^&\s#]+"), rf"\1{REDACTED}"),
    (
        re.compile(r"(?i)((?:authorization|passwd|password|secret|token)['\"]?\s{0,8}[=:]\s{0,8})(?!\[)[^\s&;,]+"),
        rf"\1{REDACTED}",
    ),
    (re.compile(r"(?i)(cookie['\"]?\s{0,8}[=:])[^\r\n]+"), rf"\1 {REDACTED}"),  # a list of them
    (re.compile(r"(?<![A-Za-z0-9])(?:dw[a-z]?_[0-9A-Za-z_-]{43,49}|whsec_[0-9A-Za-z+/=]{43,44})"), REDACTED),
    (re.compile(r"(?<![\w-])[A-Za-z0-9_-]{43}(?![\w-])"), REDACTED),  # 256 bits in base64url: every token of ours
)

# Every pattern needs one of these, most texts have none, and one search is five times faster than seven.
_SUSPECT = re.compile(r"[$=:]|eyJ|whsec_|(?i:basic|bearer|dpop)|[A-Za-z0-9_-]{43}")


@lru_cache(1024)
def is_secret(name: str) -> bool:
    """Tell whether a value under this name is never shown: `new_password`, `Set-Cookie`, `code`, `refresh_token`."""
    plain = name.lower().replace("-", "_")
    ends = any(plain == word or plain.endswith(f"_{word}") for word in _WORDS)
    return ends or plain in _NAMES or _CODES.fullmatch(plain) is not None


def scrub(text: str) -> str:
    """Take out of a text what looks like a credential. A second net: what is secret should not get here at all."""
    if _SUSPECT.search(text) is None:
        return text
    for pattern, instead in _TEXTS:
        text = pattern.sub(instead, text)
    return text
