"""SQL of the oidc room: clients, codes, families, refresh tokens, used proofs."""

import json
from collections.abc import Mapping

from sqlalchemy import bindparam as p
from sqlalchemy import delete, or_, select, update

from doorward.kernel.instant import Instant
from doorward.oidc.model import Client, Code, Family, RefreshToken
from doorward.sql import Row, Statement, Value, Work, insert, purge
from doorward.sql.tables import (
    authorization_code,
    client,
    client_secret,
    refresh_token,
    revocation,
    token_family,
    used_proof,
)

SECRETS_A_CLIENT = 2
_LISTS = ("redirect_uris", "post_logout_redirect_uris", "scopes", "resources", "claims")

# Clients --------------------------------------------------------------------------------------------------------------
_CLIENT_COLUMNS = tuple(client.columns)
_FIND_CLIENT = Statement(select(*_CLIENT_COLUMNS).where(client.c.id == p("client_id")))
_LIST_CLIENTS = Statement(select(*_CLIENT_COLUMNS).order_by(client.c.created_at, client.c.id))
_INSERT_CLIENT = Statement(
    insert(client)
    .values({column.name: p(column.name) for column in _CLIENT_COLUMNS})
    .on_conflict_do_nothing(index_elements=["id"])
    .returning(client.c.id)
)
_DELETE_CLIENT = Statement(delete(client).where(client.c.id == p("client_id")).returning(client.c.id))
_INSERT_SECRET = Statement(insert(client_secret).values({c.name: p(c.name) for c in client_secret.columns}))
_FIND_SECRET = Statement(
    select(client_secret.c.client_id).where(
        client_secret.c.secret_digest == p("digest"),
        or_(client_secret.c.expires_at.is_(None), client_secret.c.expires_at > p("now")),
    )
)
_LIMIT_SECRETS = Statement(
    update(client_secret)
    .where(
        client_secret.c.client_id == p("of_client"),
        or_(client_secret.c.expires_at.is_(None), client_secret.c.expires_at > p("until")),
    )
    .values(expires_at=p("until"))
)
_DELETE_OLD_SECRETS = Statement(
    delete(client_secret).where(
        client_secret.c.client_id == p("of_client"),
        client_secret.c.secret_digest.in_(
            select(client_secret.c.secret_digest)
            .where(client_secret.c.client_id == p("of_client"))
            .order_by(client_secret.c.created_at.desc())
            .limit(1000)
            .offset(p("keep"))
            .scalar_subquery()
        ),
    )
)

# Codes ----------------------------------------------------------------------------------------------------------------
_CODE_COLUMNS = tuple(column for column in authorization_code.columns if column.name != "code_digest")
_INSERT_CODE = Statement(insert(authorization_code).values({c.name: p(c.name) for c in authorization_code.columns}))
_FIND_CODE = Statement(select(*_CODE_COLUMNS).where(authorization_code.c.code_digest == p("digest")))
_USE_CODE = Statement(
    update(authorization_code)
    .where(authorization_code.c.code_digest == p("digest"), authorization_code.c.used_at.is_(None))
    .values(used_at=p("now"), family_id=p("family"))
    .returning(authorization_code.c.family_id)
)
_DELETE_OLD_CODES = purge(authorization_code.c.code_digest, authorization_code.c.expires_at <= p("before"))

# Families -------------------------------------------------------------------------------------------------------------
_FAMILY_COLUMNS = tuple(token_family.columns)
_INSERT_FAMILY = Statement(insert(token_family).values({c.name: p(c.name) for c in _FAMILY_COLUMNS}))
_FIND_FAMILY = Statement(select(*_FAMILY_COLUMNS).where(token_family.c.id == p("family_id")))
_LOCK_FAMILY = Statement(select(*_FAMILY_COLUMNS).where(token_family.c.id == p("family_id")).with_for_update())
_USE_FAMILY = Statement(update(token_family).where(token_family.c.id == p("family_id")).values(used_at=p("now")))
_END = update(token_family).where(token_family.c.ended_at.is_(None)).values(ended_at=p("now"))
_END_FAMILY = Statement(_END.where(token_family.c.id == p("family_id")).returning(token_family.c.id))
_END_OF_SESSION = Statement(_END.where(token_family.c.session_id == p("of_session")).returning(token_family.c.id))
_END_OF_USER = Statement(
    _END.where(token_family.c.user_id == p("owner"), token_family.c.session_id != p("kept")).returning(
        token_family.c.id
    )
)
_END_OF_CLIENT = Statement(_END.where(token_family.c.client_id == p("of_client")).returning(token_family.c.id))
_DELETE_OLD_FAMILIES = purge(token_family.c.id, token_family.c.expires_at <= p("before"))

# Refresh tokens -------------------------------------------------------------------------------------------------------
_TOKEN_COLUMNS = (
    refresh_token.c.id,
    refresh_token.c.family_id,
    refresh_token.c.used_at,
    refresh_token.c.successor_id,
    refresh_token.c.successor_sealed,
)
_INSERT_TOKEN = Statement(
    insert(refresh_token).values(
        id=p("id"), token_digest=p("token_digest"), family_id=p("family_id"), created_at=p("created_at")
    )
)
_FIND_TOKEN = Statement(select(*_TOKEN_COLUMNS).where(refresh_token.c.token_digest == p("digest")))
_FIND_TOKEN_BY_ID = Statement(select(*_TOKEN_COLUMNS).where(refresh_token.c.id == p("token_id")))
_REPLACE_TOKEN = Statement(
    update(refresh_token)
    .where(refresh_token.c.id == p("token_id"))
    .values(used_at=p("now"), successor_id=p("successor"), successor_sealed=p("sealed"))
)
_FORGET_SUCCESSOR = Statement(
    update(refresh_token)
    .where(refresh_token.c.family_id == p("of_family"), refresh_token.c.successor_id == p("successor"))
    .values(successor_sealed=None)
)

# Proofs and revocations -----------------------------------------------------------------------------------------------
_USE_PROOF = Statement(
    insert(used_proof)
    .values(proof_digest=p("proof_digest"), expires_at=p("expires_at"))
    .on_conflict_do_nothing(index_elements=["proof_digest"])
    .returning(used_proof.c.proof_digest)
)
_DELETE_OLD_PROOFS = purge(used_proof.c.proof_digest, used_proof.c.expires_at <= p("before"))
_IS_REVOKED = Statement(
    select(revocation.c.seq)
    .where(
        revocation.c.at >= p("since"),
        or_(
            (revocation.c.kind == "token") & (revocation.c.id == p("jti")),
            (revocation.c.kind == "user") & (revocation.c.id == p("subject")),
        ),
    )
    .limit(1)
)


def find_client(client_id: str) -> Work[Client | None]:
    """The client with this id."""
    rows = yield _FIND_CLIENT(client_id=client_id)
    return _client(rows[0]) if rows else None


def list_clients() -> Work[list[Client]]:
    """Every client, the oldest first."""
    return [_client(row) for row in (yield _LIST_CLIENTS())]


def insert_client(new: Client) -> Work[bool]:
    """Register a client; False when the id is taken."""
    values: dict[str, Value] = {
        "id": new.id,
        "name": new.name,
        "kind": new.kind,
        "auth_method": new.auth_method,
        "jwks": None if new.jwks is None else json.dumps(new.jwks),
        "alg": new.alg,
        "dpop": int(new.dpop),
        "created_at": new.created_at,
        **{name: json.dumps(getattr(new, name)) for name in _LISTS},
    }
    return bool((yield _INSERT_CLIENT(**values)))


def delete_client(client_id: str) -> Work[bool]:
    """Forget a client with everything that it was given; False when there is none."""
    return bool((yield _DELETE_CLIENT(client_id=client_id)))


def insert_secret(client_id: str, digest: bytes, now: Instant, until: Instant) -> Work[None]:
    """Give a client a secret; of its older ones the newest stays, until `until` at the latest."""
    yield _LIMIT_SECRETS(of_client=client_id, until=until)
    yield _INSERT_SECRET(secret_digest=digest, client_id=client_id, created_at=now, expires_at=None)
    yield _DELETE_OLD_SECRETS(of_client=client_id, keep=SECRETS_A_CLIENT)


def find_owner_of_secret(digest: bytes, now: Instant) -> Work[str | None]:
    """The id of the client whose secret this is."""
    rows = yield _FIND_SECRET(digest=digest, now=now)
    return str(rows[0][0]) if rows else None


def insert_code(digest: bytes, code: Code) -> Work[None]:
    """Keep a new code."""
    yield _INSERT_CODE(code_digest=digest, **{column.name: getattr(code, column.name) for column in _CODE_COLUMNS})


def find_code(digest: bytes) -> Work[Code | None]:
    """A code, used or not."""
    rows = yield _FIND_CODE(digest=digest)
    return Code(*rows[0]) if rows else None


def use_code(digest: bytes, family_id: str, now: Instant) -> Work[bool]:
    """Use a code up for a family; False when somebody was quicker."""
    return bool((yield _USE_CODE(digest=digest, family=family_id, now=now)))


def insert_family(family: Family) -> Work[None]:
    """Begin a family."""
    values: dict[str, Value] = {column.name: getattr(family, column.name) for column in _FAMILY_COLUMNS}
    yield _INSERT_FAMILY(**{**values, "amr": json.dumps(family.amr)})


def find_family(family_id: str, *, locked: bool = False) -> Work[Family | None]:
    """A family, ended or not. `locked`: nobody else changes it until this transaction ends."""
    rows = yield (_LOCK_FAMILY if locked else _FIND_FAMILY)(family_id=family_id)
    if not rows:
        return None
    values = list(rows[0])
    values[8] = tuple(json.loads(values[8]))  # amr
    return Family(*values)


def use_family(family_id: str, now: Instant) -> Work[None]:
    """Note that a family's refresh token was used."""
    yield _USE_FAMILY(family_id=family_id, now=now)


def end_family(family_id: str, now: Instant) -> Work[bool]:
    """End a family; False when it has ended before, or there is none."""
    return bool((yield _END_FAMILY(family_id=family_id, now=now)))


def end_families_of_session(session_id: str, now: Instant) -> Work[list[str]]:
    """End what came of a session; the ids."""
    return [str(row[0]) for row in (yield _END_OF_SESSION(of_session=session_id, now=now))]


def end_families_of_user(owner: str, kept: str, now: Instant) -> Work[list[str]]:
    """End everything of a user but what came of the session `kept` (empty: all); the ids."""
    return [str(row[0]) for row in (yield _END_OF_USER(owner=owner, kept=kept, now=now))]


def end_families_of_client(client_id: str, now: Instant) -> Work[list[str]]:
    """End everything that a client was given; the ids."""
    return [str(row[0]) for row in (yield _END_OF_CLIENT(of_client=client_id, now=now))]


def insert_token(token_id: str, digest: bytes, family_id: str, now: Instant) -> Work[None]:
    """Keep a new refresh token."""
    yield _INSERT_TOKEN(id=token_id, token_digest=digest, family_id=family_id, created_at=now)


def find_token(digest: bytes) -> Work[RefreshToken | None]:
    """A refresh token, used or not."""
    rows = yield _FIND_TOKEN(digest=digest)
    return RefreshToken(*rows[0]) if rows else None


def find_token_by_id(token_id: str) -> Work[RefreshToken | None]:
    """The same, by its id."""
    rows = yield _FIND_TOKEN_BY_ID(token_id=token_id)
    return RefreshToken(*rows[0]) if rows else None


def replace_token(old: RefreshToken, successor_id: str, successor_sealed: bytes, now: Instant) -> Work[None]:
    """Put a successor in the place of a token; what it took the place of itself cannot be asked for any more."""
    yield _REPLACE_TOKEN(token_id=old.id, successor=successor_id, sealed=successor_sealed, now=now)
    yield _FORGET_SUCCESSOR(of_family=old.family_id, successor=old.id)


def use_proof(digest: bytes, expires_at: Instant) -> Work[bool]:
    """Note a proof; False when it was used before."""
    return bool((yield _USE_PROOF(proof_digest=digest, expires_at=expires_at)))


def is_revoked(jti: str, subject: str, since: Instant) -> Work[bool]:
    """Whether a token, or all of its subject's, was revoked at or after `since`."""
    return bool((yield _IS_REVOKED(jti=jti, subject=subject, since=since)))


def delete_old_codes(before: Instant) -> Work[int]:
    """Forget codes of long ago, some at a time; how many."""
    return len((yield _DELETE_OLD_CODES(before=before)))


def delete_old_families(before: Instant) -> Work[int]:
    """Forget families whose time is over, some at a time; how many."""
    return len((yield _DELETE_OLD_FAMILIES(before=before)))


def delete_old_proofs(before: Instant) -> Work[int]:
    """Forget proofs that are too old to count anyway, some at a time; how many."""
    return len((yield _DELETE_OLD_PROOFS(before=before)))


def _client(row: Row) -> Client:
    values: Mapping[str, object] = dict(zip((column.name for column in _CLIENT_COLUMNS), row, strict=True))
    lists = {name: tuple(json.loads(str(values[name]))) for name in _LISTS}
    jwks = None if values["jwks"] is None else json.loads(str(values["jwks"]))
    return Client(**{**values, **lists, "jwks": jwks, "dpop": bool(values["dpop"])})  # type: ignore[arg-type]  # a row
