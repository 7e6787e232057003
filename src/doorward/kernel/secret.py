"""What must never be shown: names whose values are secrets, and texts that look like credentials."""

import re

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

_TEXTS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"eyJ[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*){0,4}"), REDACTED),  # JWS and JWE
    (re.compile(r"(?i)\b(basic|bearer|dpop)\s+[A-Za-z0-9._~+/=-]{16,}"), rf"\1 {REDACTED}"),
    (re.compile(r"(__(?:Host|Secure)-[\w.-]+)=[^;\s]+"), rf"\1={REDACTED}"),
    (re.compile(r"\$(?:argon2\w*|2[abxy]|scrypt|pbkdf2[\w-]*)\$[^\s'\"]+"), REDACTED),  # password digests
    (re.compile(r"(?i)([?&](?:code|key|state)=)[^&\s#]+"), rf"\1{REDACTED}"),
    (
        re.compile(
            r"(?i)\b([\w-]*(?:authorization|cookie|passwd|password|secret|token)['\"]?\s*[=:]\s*)(?!\[)[^\s&;,]+"
        ),
        rf"\1{REDACTED}",
    ),
    (re.compile(r"(?<![\w-])[A-Za-z0-9_-]{43}(?![\w-])"), REDACTED),  # 256 bits in base64url: every token of ours
)


def is_secret(name: str) -> bool:
    """Tell whether a value under this name is never shown: `new_password`, `Set-Cookie`, `code`, `refresh_token`."""
    plain = name.lower().replace("-", "_")
    ends = any(plain == word or plain.endswith(f"_{word}") for word in _WORDS)
    return ends or plain in _NAMES or _CODES.fullmatch(plain) is not None


def scrub(text: str) -> str:
    """Take out of a text what looks like a credential. A second net: what is secret should not get here at all."""
    for pattern, instead in _TEXTS:
        text = pattern.sub(instead, text)
    return text
