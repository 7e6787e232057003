"""Every refusal Doorward can give, as one tree.

Problem
├── Invalid               400  one or more fields are wrong; lists all of them
├── Malformed             400  the body or a parameter cannot be read at all
├── NotSignedIn           401  no session, or one that has ended
├── InvalidCredentials    401  one answer for every failed sign-in; the reason stays private
├── Forbidden             403  signed in, but not allowed
│   └── InsufficientScope 403  an API key that is not meant for that (RFC 6750)
├── ReauthenticationNeeded 403  allowed after a fresh authentication (RFC 9470)
├── PasswordChangeRequired 403 the right password, but one that others know
├── CsrfRefused           403  the request did not prove that our own page sent it
├── NotFound              404
├── MethodNotAllowed      405
├── Conflict              409
├── PreconditionFailed    412  somebody has changed it since (RFC 9110)
├── TooLarge              413
├── UnsupportedMediaType  415
├── OAuthRefused          400  of OAuth's endpoints; `error` is its word (RFC 6749 §5.2)
│   ├── ClientRefused     401  an app did not prove which it is
│   ├── TokenRefused      401  an access token that does not count here (RFC 6750 §3.1)
│   └── ScopeRefused      403  one that counts, but not for this
├── KeyUsedOtherwise      422  an Idempotency-Key that came with another request
├── RateLimited           429  with Retry-After
└── Unavailable           503  with Retry-After

`web/problems.py` is the only translator to HTTP. `reason` is for the audit log and never leaves the server.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from doorward.kernel.msgid import msgid


@dataclass(frozen=True, slots=True)
class FieldError:
    """One wrong field. `message` is a gettext msgid with %(name)s places for `params`."""

    field: str
    code: str  # stable snake_case, for programs
    message: str
    params: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def text(self) -> str:
        """The sentence in English."""
        return self.message % self.params if self.params else self.message


_LINK_SENT = msgid(
    "Others may know this password, so it opens nothing any more. We have sent you an e-mail with a link to choose "
    "another"
)
_NOW_ANOTHER = msgid("Others may know this password, so it opens nothing any more. Choose another one now")


class Problem(Exception):  # noqa: N818  the word of RFC 9457
    """A refusal with public parts (RFC 9457) and a private reason."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal"
    title: ClassVar[str] = "Something went wrong"

    def __init__(self, detail: str | None = None, *, reason: str = "", params: Mapping[str, Any] | None = None) -> None:
        """`detail` is a gettext msgid with %(name)s places for `params`; it defaults to the title."""
        self.message = detail if detail is not None else self.title
        self.params = params or {}
        self.reason = reason or self.code
        super().__init__(self.message)

    @property
    def detail(self) -> str:
        """The sentence in English."""
        return self.message % self.params if self.params else self.message

    @property
    def members(self) -> Mapping[str, Any]:
        """Further public members of the answer."""
        return {}

    @property
    def headers(self) -> Mapping[str, str]:
        """Further response headers."""
        return {}


class Invalid(Problem):
    """One or more fields are wrong; all of them are listed."""

    status, code, title = 400, "invalid", "Some of what you sent is not valid"

    def __init__(self, errors: Sequence[FieldError], *, reason: str = "") -> None:
        """`errors` holds every wrong field, in the order of the form."""
        self.errors = tuple(errors)
        super().__init__("; ".join(error.text for error in errors).replace("%", "%%") or None, reason=reason)

    @property
    def detail(self) -> str:
        """Every sentence in one line."""
        return "; ".join(error.text for error in self.errors)

    @property
    def members(self) -> Mapping[str, Any]:
        """The wrong fields, each with an RFC 6901 pointer into the body."""
        return {
            "errors": [
                {"field": e.field, "pointer": f"#/{e.field}", "code": e.code, "detail": e.text} for e in self.errors
            ]
        }


class Malformed(Problem):
    """The body or a parameter cannot be read."""

    status, code, title = 400, "malformed", "The request cannot be read"


class NotSignedIn(Problem):
    """There is no live session behind the request."""

    status, code, title = 401, "not_signed_in", "You are not signed in"

    @property
    def headers(self) -> Mapping[str, str]:
        """RFC 9110 §15.5.2: a 401 names a way in."""
        return {"WWW-Authenticate": "Bearer"}


class InvalidCredentials(Problem):
    """One answer for every failed sign-in, whatever the reason (C16)."""

    status, code, title = 401, "invalid_credentials", "The name or the password is not right"

    @property
    def headers(self) -> Mapping[str, str]:
        """RFC 9110 §15.5.2: a 401 names a way in."""
        return {"WWW-Authenticate": "Bearer"}


class Forbidden(Problem):
    """Signed in, but not allowed."""

    status, code, title = 403, "forbidden", "You are not allowed to do that"


class InsufficientScope(Forbidden):
    """An API key whose scopes do not reach so far (RFC 6750 §3.1)."""

    code, title = "insufficient_scope", "This API key is not meant for that"

    def __init__(self, scopes: Sequence[str]) -> None:
        """`scopes`: any of them would do; empty: no key may ever do it."""
        self.scopes = tuple(scopes)
        super().__init__(reason="scope of the key")

    @property
    def members(self) -> Mapping[str, Any]:
        """The scopes that would do."""
        return {"scopes": list(self.scopes)}

    @property
    def headers(self) -> Mapping[str, str]:
        """RFC 6750 §3."""
        wanted = f', scope="{" ".join(self.scopes)}"' if self.scopes else ""
        return {"WWW-Authenticate": f'Bearer error="insufficient_scope"{wanted}'}


class ReauthenticationNeeded(Problem):
    """Allowed after a fresh authentication (RFC 9470)."""

    status, code, title = 403, "reauthentication_needed", "Please confirm first that it is you"

    def __init__(self, *, max_age_seconds: int, aal: int = 1, reason: str = "") -> None:
        """`max_age_seconds`: how old the last authentication may be; `aal`: the level it has to reach."""
        self.max_age_seconds = max_age_seconds
        self.aal = aal
        super().__init__(reason=reason)

    @property
    def members(self) -> Mapping[str, Any]:
        """The age allowed, in seconds, and the level wanted."""
        return {"max_age": self.max_age_seconds, "acr_values": f"aal{self.aal}"}

    @property
    def headers(self) -> Mapping[str, str]:
        """RFC 9470 §3."""
        wanted = f'acr_values="aal{self.aal}", max_age={self.max_age_seconds}'
        return {"WWW-Authenticate": f'Bearer error="insufficient_user_authentication", {wanted}'}


class PasswordChangeRequired(Problem):
    """The password was right, but others know it: no session begins before there is another one (C8)."""

    status, code = 403, "password_change_required"
    title = "Choose another password first"

    def __init__(self, *, token: str | None = None) -> None:
        """`token`: sets another password once, for someone to whom no mail can be sent; see `/recovery/{token}`."""
        self.token = token
        super().__init__(_LINK_SENT if token is None else _NOW_ANOTHER)

    @property
    def members(self) -> Mapping[str, Any]:
        """The token, where there is one."""
        return {} if self.token is None else {"token": self.token}


class CsrfRefused(Problem):
    """The request did not prove that our own page sent it."""

    status, code, title = 403, "csrf_refused", "This request did not come from a page of ours"


class NotFound(Problem):
    """There is nothing here, or nothing for this caller."""

    status, code, title = 404, "not_found", "There is nothing here"


class MethodNotAllowed(Problem):
    """The path exists, the method does not."""

    status, code, title = 405, "method_not_allowed", "That method is not offered here"

    def __init__(self, allowed: Sequence[str]) -> None:
        """`allowed`: the methods this path offers."""
        self.allowed = tuple(allowed)
        super().__init__()

    @property
    def headers(self) -> Mapping[str, str]:
        """RFC 9110 §15.5.6."""
        return {"Allow": ", ".join(self.allowed)}


class Conflict(Problem):
    """The state of things does not allow it."""

    status, code, title = 409, "conflict", "That does not fit the present state"


class PreconditionFailed(Problem):
    """What If-Match names is not what there is (RFC 9110 §13.1.1)."""

    status, code, title = 412, "precondition_failed", "Somebody has changed this since you read it"


class TooLarge(Problem):
    """The body is larger than this route reads."""

    status, code, title = 413, "too_large", "The request is too large"


class UnsupportedMediaType(Problem):
    """The body is of a type this route does not read."""

    status, code, title = 415, "unsupported_media_type", "Send this as application/json"


class OAuthRefused(Problem):
    """An app's request is refused in the words of OAuth."""

    status, code, title = 400, "oauth_refused", "The app asked for something that it cannot have"

    def __init__(self, error: str, detail: str, *, reason: str = "") -> None:
        """`error`: the word of RFC 6749 §5.2 or its extensions. `detail`: for developers, in English."""
        self.error = error
        super().__init__(detail, reason=reason or f"{error}: {detail}")


class ClientRefused(OAuthRefused):
    """An app did not prove which app it is."""

    status, code, title = 401, "client_refused", "The app did not prove which app it is"

    def __init__(self, detail: str = "client authentication failed", *, reason: str = "") -> None:
        """One answer for unknown, disabled and wrongly proven ones, unless `detail` helps nobody but developers."""
        super().__init__("invalid_client", detail, reason=reason)

    @property
    def headers(self) -> Mapping[str, str]:
        """RFC 6749 §5.2."""
        return {"WWW-Authenticate": 'Basic realm="oauth"'}


class TokenRefused(OAuthRefused):
    """An access token does not count here, or is missing."""

    status, code, title = 401, "token_refused", "The access token does not count here"

    def __init__(self, detail: str, *, scheme: str = "Bearer", error: str = "invalid_token", reason: str = "") -> None:
        """`scheme`: of the Authorization header, Bearer or DPoP."""
        self.scheme = scheme
        super().__init__(error, detail, reason=reason)

    @property
    def headers(self) -> Mapping[str, str]:
        """RFC 6750 §3, RFC 9449 §7.1."""
        return {"WWW-Authenticate": f'{self.scheme} error="{self.error}", error_description="{self.detail}"'}


class ScopeRefused(OAuthRefused):
    """An access token counts, but not for this."""

    status, code, title = 403, "scope_refused", "The access token is not good for this"

    def __init__(self, scope: str) -> None:
        """`scope`: what is missing."""
        self.scope = scope
        super().__init__("insufficient_scope", f"needs scope {scope}")

    @property
    def headers(self) -> Mapping[str, str]:
        """RFC 6750 §3."""
        return {"WWW-Authenticate": f'Bearer error="insufficient_scope", scope="{self.scope}"'}


class KeyUsedOtherwise(Problem):
    """An Idempotency-Key that came with another request before."""

    status, code, title = 422, "key_used_otherwise", "This Idempotency-Key came with another request before"


class _Later(Problem):
    def __init__(self, detail: str | None = None, *, retry_after_seconds: int, reason: str = "") -> None:
        """`retry_after_seconds`: whole seconds, at least 1."""
        self.retry_after_seconds = max(1, retry_after_seconds)
        super().__init__(detail, reason=reason)

    @property
    def members(self) -> Mapping[str, Any]:
        """Seconds until it is worth trying again."""
        return {"retry_after": self.retry_after_seconds}

    @property
    def headers(self) -> Mapping[str, str]:
        """RFC 9110 §10.2.3."""
        return {"Retry-After": str(self.retry_after_seconds)}


class RateLimited(_Later):
    """Too many tries."""

    status, code, title = 429, "rate_limited", "Too many tries; please wait a little"


class Unavailable(_Later):
    """A part we need is down or full; nothing was half done."""

    status, code, title = 503, "unavailable", "We cannot do that right now; please try again in a moment"
