"""Who a request is from, and what a place may ask of them."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from doorward_client.errors import Forbidden, InsufficientAuthentication

SECOND_FACTOR = "aal2 aal3"  # the `acr` values that stand for more than one factor


def _nothing() -> Mapping[str, Any]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Principal:
    """Somebody whose token counts. `sub` never changes, so it is what an app stores.

    A program has neither `sid` nor `auth_time`: it never signed in. `claims` is the whole token; `profile` holds the
    claims of the ID token where the app's server keeps the session, and is empty otherwise.
    """

    sub: str
    client_id: str
    scope: frozenset[str] = frozenset()
    roles: frozenset[str] = frozenset()
    sid: str | None = None
    amr: tuple[str, ...] = ()
    acr: str | None = None
    auth_time: int | None = None
    claims: Mapping[str, Any] = field(default_factory=_nothing, repr=False)
    profile: Mapping[str, Any] = field(default_factory=_nothing, repr=False)

    @classmethod
    def read(cls, claims: Mapping[str, Any]) -> "Principal":
        """Take what a verified token or an introspection answer says. Raises ValueError for a claim of another type."""
        return cls(
            sub=text(claims, "sub"),
            client_id=text(claims, "client_id"),
            scope=frozenset(optional(claims, "scope", str, "").split()),
            roles=frozenset(_texts(claims, "roles")),
            sid=optional(claims, "sid", str, None),
            amr=_texts(claims, "amr"),
            acr=optional(claims, "acr", str, None),
            auth_time=optional(claims, "auth_time", int, None),
            claims=MappingProxyType(dict(claims)),
        )


@dataclass(frozen=True, slots=True)
class Requirement:
    """What a place asks for beyond being signed in. All of `scope`, one of `role`, and both of the rest."""

    scope: frozenset[str] = frozenset()
    role: frozenset[str] = frozenset()
    fresh: int | None = None  # seconds since somebody last showed who they are
    mfa: bool = False

    @classmethod
    def of(
        cls,
        *,
        scope: str | Collection[str] = (),
        role: str | Collection[str] = (),
        fresh: int | None = None,
        mfa: bool = False,
    ) -> "Requirement":
        """Take scopes as OAuth writes them ("read write") or as a collection; a role, or several of which one will do.

        Raises TypeError when `scope` is a function: `@require` was written for `@require()`.
        """
        if callable(scope):
            raise TypeError("write require(...) with what is required, or login_required")
        scopes = scope.split() if isinstance(scope, str) else scope
        return cls(frozenset(scopes), frozenset([role] if isinstance(role, str) else role), fresh, mfa)

    def check(self, principal: Principal, now: float) -> None:
        """Let pass, or raise Forbidden or InsufficientAuthentication."""
        if not self.scope <= principal.scope:
            raise Forbidden("the token lacks a scope", scope=" ".join(sorted(self.scope)))
        if self.role and not self.role & principal.roles:
            raise Forbidden("the user lacks a role")
        weak = self.mfa and principal.acr not in SECOND_FACTOR.split()
        old = self.fresh is not None and (principal.auth_time is None or now - principal.auth_time > self.fresh)
        if weak or old:
            raise InsufficientAuthentication(
                "a second factor is needed" if weak else "sign in again",
                max_age=self.fresh,
                acr_values=SECOND_FACTOR if self.mfa else None,
            )


LOGIN = Requirement()


def text(claims: Mapping[str, Any], name: str) -> str:
    """A text that must be there and not be empty. Raises ValueError, naming the claim."""
    value = claims.get(name)
    if not isinstance(value, str) or not value:
        raise ValueError(name)
    return value


def _texts(claims: Mapping[str, Any], name: str) -> tuple[str, ...]:
    value = claims.get(name, [])
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ValueError(name)
    return tuple(value)


def optional(claims: Mapping[str, Any], name: str, kind: type, default: Any) -> Any:  # noqa: ANN401  a claim
    """A claim of this very type, if it is there. Raises ValueError, naming the claim."""
    value = claims.get(name, default)
    # `type is`: True is an int to isinstance.
    if value is not default and type(value) is not kind:
        raise ValueError(name)
    return value
