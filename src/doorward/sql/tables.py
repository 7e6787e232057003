"""The schema: every table, one place, so that Alembic and both databases agree.

Ids are UUIDv7 text, instants whole microseconds, digests bytes, JSON text (jsonb on PostgreSQL). A table belongs to one
room, named beside it; only that room's store.py speaks to it, and the sealing room to what is sealed (sql/sealed.py).
"""

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.dialects.postgresql import JSONB

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

Json = Text().with_variant(JSONB(), "postgresql")
Seq = Integer().with_variant(BigInteger(), "postgresql")  # SQLite counts by itself only in an INTEGER key

# users/ -------------------------------------------------------------------------------------------------------------
users = Table(
    "users",
    metadata,
    Column("id", Text, primary_key=True),
    Column("uid", Text, nullable=False),
    Column("uid_key", Text, nullable=False, unique=True),  # NFKC + case folding + confusable skeleton
    Column("name", Text, nullable=False),
    Column("dob", Text),  # ISO 8601 date
    Column("status", Text, nullable=False),  # active | disabled | leaving (erased at deletion.due_at)
    Column("roles", Json, nullable=False),  # list of names
    Column("fields", Json, nullable=False),  # custom fields, one object
    Column("legacy_id", Text, unique=True),  # source:id of the system it was imported from
    Column("version", BigInteger, nullable=False),  # goes up with every change
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Column("locale", Text),  # the language of messages to them, as far as they have chosen one
)

identifier = Table(  # e-mail addresses and phone numbers; a claim until verified_at is set
    "identifier",
    metadata,
    Column("id", Text, primary_key=True),
    Column("user_id", Text, ForeignKey("users.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("kind", Text, nullable=False),  # email | phone
    Column("value", Text, nullable=False),
    Column("value_key", Text, nullable=False),
    Column("verified_at", BigInteger),
    Column("created_at", BigInteger, nullable=False),
    UniqueConstraint("user_id", "kind", "value_key"),
)
Index(
    "uq_identifier_verified",
    identifier.c.kind,
    identifier.c.value_key,
    unique=True,
    sqlite_where=identifier.c.verified_at.is_not(None),
    postgresql_where=identifier.c.verified_at.is_not(None),
)

deletion = Table(  # a user who asked to be erased and may still come back
    "deletion",
    metadata,
    Column("user_id", Text, ForeignKey("users.id", ondelete="CASCADE"), primary_key=True),
    Column("asked_at", BigInteger, nullable=False),
    Column("due_at", BigInteger, nullable=False, index=True),
)

# messages/ ----------------------------------------------------------------------------------------------------------
message = Table(  # the outbox: written in the transaction of its cause, sent by whoever holds the lease
    "message",
    metadata,
    Column("id", Text, primary_key=True),  # UUIDv7; also the left part of the Message-ID
    Column("kind", Text, nullable=False),  # mail | sms
    Column("template", Text, nullable=False),
    Column("recipient", Text, nullable=False),
    Column("locale", Text, nullable=False),
    Column("values_sealed", LargeBinary),  # what fills the template, secrets among it; gone once it is sent
    Column("state", Text, nullable=False),  # queued | sent | failed | void (written for the sake of equal work)
    Column("attempts", BigInteger, nullable=False),
    Column("due_at", BigInteger, nullable=False),  # not tried before; moved ahead while an attempt is under way
    Column("expires_at", BigInteger, nullable=False),  # of no use to its reader after that
    Column("created_at", BigInteger, nullable=False),
    Column("done_at", BigInteger),  # sent, or given up
    Column("error", Text),  # what the other side said last, without secrets
)
Index("ix_message_queue", message.c.state, message.c.due_at)
Index("ix_message_created_at", message.c.created_at)

# confirmations/ -----------------------------------------------------------------------------------------------------
confirmation = Table(  # something sent that comes back once: a link, a code
    "confirmation",
    metadata,
    Column("id", Text, primary_key=True),
    Column("purpose", Text, nullable=False),
    Column("user_id", Text, ForeignKey("users.id", ondelete="CASCADE"), index=True),
    Column("target", Text, nullable=False),  # the address or number it went to
    Column("target_key", Text, nullable=False),
    Column("token_digest", LargeBinary, nullable=False, unique=True),
    Column("code_mac", LargeBinary),  # keyed, for a bare digest of six digits is no secret
    Column("code_expires_at", BigInteger, nullable=False),
    Column("failures", BigInteger, nullable=False),  # wrong codes; a newer code does not reset it
    Column("holder_digest", LargeBinary, index=True),  # of the cookie, or of the session, that asked
    Column("payload_sealed", LargeBinary, nullable=False),
    Column("locale", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False, index=True),
    Column("used_at", BigInteger),  # kept for a while, so that a second visit gets a friendly word
    Column("voided_at", BigInteger),
)
Index("ix_confirmation_target", confirmation.c.purpose, confirmation.c.target_key)

# signin/ ------------------------------------------------------------------------------------------------------------
cool_off = Table(  # a lost second factor is given up after days in which every channel was told
    "cool_off",
    metadata,
    Column("user_id", Text, ForeignKey("users.id", ondelete="CASCADE"), primary_key=True),
    Column("asked_at", BigInteger, nullable=False),
    Column("email_shown_at", BigInteger),  # the two verified channels that have answered
    Column("phone_shown_at", BigInteger),
    Column("due_at", BigInteger, index=True),  # set once both have
)

# signup/ ------------------------------------------------------------------------------------------------------------
reserved_uid = Table(  # a handle is kept for whoever has yet to prove an address
    "reserved_uid",
    metadata,
    Column("uid_key", Text, primary_key=True),
    Column("confirmation_id", Text, ForeignKey("confirmation.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("expires_at", BigInteger, nullable=False),
)

# authenticators/ ----------------------------------------------------------------------------------------------------
password = Table(
    "password",
    metadata,
    Column("user_id", Text, ForeignKey("users.id", ondelete="CASCADE"), primary_key=True),
    Column("digest", Text, nullable=False),  # PHC string; werkzeug's own form until the first sign-in after an import
    Column("set_at", BigInteger, nullable=False),
    Column("change_wanted", Text),  # None | short | compromised
)
authenticator = Table(  # second factors and passkeys; what differs between kinds is sealed or in `state`
    "authenticator",
    metadata,
    Column("id", Text, primary_key=True),
    Column("user_id", Text, ForeignKey("users.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("kind", Text, nullable=False),  # the name of a file in authenticators/kinds/
    Column("label", Text, nullable=False),  # what its owner calls it
    Column("lookup", LargeBinary, unique=True),  # SHA-256 of a passkey's credential id: registered once, to one user
    Column("secret_sealed", LargeBinary, nullable=False),
    Column("state", Json, nullable=False),  # what use changes: the last step, the codes that are left
    Column("version", BigInteger, nullable=False),  # goes up with every use: of parallel ones exactly one counts
    Column("step", BigInteger, nullable=False),  # 1: because of it a password alone opens nothing any more
    Column("bound_at", BigInteger, nullable=False),
    Column("last_used_at", BigInteger),
)
passkey_user = Table(  # WebAuthn's user.id: random, so that an authenticator learns nothing from it
    "passkey_user",
    metadata,
    Column("user_id", Text, ForeignKey("users.id", ondelete="CASCADE"), primary_key=True),
    Column("handle", LargeBinary, nullable=False, unique=True),
)
challenge = Table(  # something asked of one holder that is answered at most once
    "challenge",
    metadata,
    Column("id", Text, primary_key=True),
    Column("purpose", Text, nullable=False),
    Column("holder_digest", LargeBinary, nullable=False, index=True),
    Column("user_id", Text, ForeignKey("users.id", ondelete="CASCADE"), index=True),
    Column("content_sealed", LargeBinary, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False, index=True),
)
grace = Table(  # since when a user owes a second factor that they have not bound yet
    "grace",
    metadata,
    Column("user_id", Text, ForeignKey("users.id", ondelete="CASCADE"), primary_key=True),
    Column("since", BigInteger, nullable=False),
)
throttle = Table(  # consecutive failures; the key is a MAC, so that a dump names nobody
    "throttle",
    metadata,
    Column("key", LargeBinary, primary_key=True),
    Column("failures", BigInteger, nullable=False),
    Column("not_before", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False, index=True),
)
bucket = Table(  # GCRA (theoretical arrival time) for limits shared by several processes
    "bucket",
    metadata,
    Column("key", LargeBinary, primary_key=True),
    Column("arrival_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False, index=True),
)

# sessions/ ----------------------------------------------------------------------------------------------------------
session = Table(
    "session",
    metadata,
    Column("id", Text, primary_key=True),
    Column("token_digest", LargeBinary, nullable=False, unique=True),
    Column("user_id", Text, ForeignKey("users.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("transport", Text, nullable=False),  # cookie | bearer
    Column("amr", Json, nullable=False),
    Column("aal", BigInteger, nullable=False),
    Column("auth_time", BigInteger, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("last_seen_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False, index=True),
    Column("address", Text, nullable=False),
    Column("user_agent", Text, nullable=False),
)
ticket = Table(  # half signed in: what was shown so far, and what is still owed
    "ticket",
    metadata,
    Column("id", Text, primary_key=True),
    Column("token_digest", LargeBinary, nullable=False, unique=True),
    Column("user_id", Text, ForeignKey("users.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("session_id", Text, ForeignKey("session.id", ondelete="CASCADE"), index=True),  # whose user proves anew
    Column("owes", Text, nullable=False),  # authenticator | enrolment | restoration
    Column("amr", Json, nullable=False),  # shown so far
    Column("context", Json, nullable=False),  # how the session is to begin: transport, device, where a page goes on
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False, index=True),
)
kept_form = Table(  # a form that was sent when its sender had to prove anew who they are
    "kept_form",
    metadata,
    Column("session_id", Text, ForeignKey("session.id", ondelete="CASCADE"), primary_key=True),
    Column("path", Text, nullable=False),
    Column("fields_sealed", LargeBinary, nullable=False),
    Column("expires_at", BigInteger, nullable=False, index=True),
)
known_device = Table(
    "known_device",
    metadata,
    Column("id", Text, primary_key=True),
    Column("user_id", Text, ForeignKey("users.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("token_digest", LargeBinary, nullable=False, unique=True),
    Column("failures", BigInteger, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("last_used_at", BigInteger, nullable=False),
)
revocation = Table(
    "revocation",
    metadata,
    Column("seq", Seq, primary_key=True, autoincrement=True),
    Column("kind", Text, nullable=False),  # see sessions.Revocation
    Column("id", Text, nullable=False),
    Column("at", BigInteger, nullable=False, index=True),
    Index("ix_revocation_kind_id", "kind", "id"),
    sqlite_autoincrement=True,
)

# tokens/ ------------------------------------------------------------------------------------------------------------
signing_key = Table(
    "signing_key",
    metadata,
    Column("kid", Text, primary_key=True),
    Column("alg", Text, nullable=False),
    Column("public_jwk", Json, nullable=False),
    Column("private_sealed", LargeBinary, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("active_from", BigInteger, nullable=False),
    Column("retired_at", BigInteger),
)

# audit/ -------------------------------------------------------------------------------------------------------------
audit_event = Table(
    "audit_event",
    metadata,
    Column("id", Text, primary_key=True),  # UUIDv7: sorts by time
    Column("at", BigInteger, nullable=False),
    Column("event", Text, nullable=False),  # OWASP logging vocabulary
    Column("outcome", Text, nullable=False),  # success | failure
    Column("user_id", Text),  # whom it is about; no foreign key: the row outlives the user
    Column("actor_id", Text),
    Column("session_id", Text),
    Column("address", Text, nullable=False),
    Column("request_id", Text, nullable=False),
    Column("payload", Json),  # redactable: the MAC covers its digest
    Column("payload_digest", LargeBinary),
    Column("mac", LargeBinary, nullable=False),
    Column("key_id", Text, nullable=False),
    Column("chain_seq", BigInteger, unique=True),  # filled by the sealer
    Column("chain_digest", LargeBinary),
)
Index("ix_audit_event_user_id_id", audit_event.c.user_id, audit_event.c.id)  # a user's newest, without sorting them all

# whole installation -------------------------------------------------------------------------------------------------
setting = Table(
    "setting",
    metadata,
    Column("key", Text, primary_key=True),
    Column("value", Text, nullable=False),
)
lease = Table(
    "lease",
    metadata,
    Column("name", Text, primary_key=True),
    Column("holder", Text, nullable=False),
    Column("until", BigInteger, nullable=False),
)
setup_link = Table(  # one-time links for the first administrator
    "setup_link",
    metadata,
    Column("token_digest", LargeBinary, primary_key=True),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("used_at", BigInteger),
)

# oidc/ -------------------------------------------------------------------------------------------------------------
client = Table(
    "client",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("kind", Text, nullable=False),  # web | spa | native | service
    Column("auth_method", Text, nullable=False),  # client_secret_basic | private_key_jwt | none
    Column("redirect_uris", Json, nullable=False),  # list, compared as they are
    Column("post_logout_redirect_uris", Json, nullable=False),
    Column("scopes", Json, nullable=False),
    Column("resources", Json, nullable=False),  # audiences it may ask for, the first by default
    Column("claims", Json, nullable=False),  # custom fields that its tokens carry
    Column("jwks", Json),  # public keys, for private_key_jwt
    Column("alg", Text, nullable=False),  # of its tokens
    Column("dpop", BigInteger, nullable=False),  # 1: no token without proof of possession
    Column("created_at", BigInteger, nullable=False),
)

client_secret = Table(  # two live ones while a secret is being replaced
    "client_secret",
    metadata,
    Column("secret_digest", LargeBinary, primary_key=True),
    Column("client_id", Text, ForeignKey("client.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger),
)

authorization_code = Table(  # kept for a while after its use, so that a second one is recognised
    "authorization_code",
    metadata,
    Column("code_digest", LargeBinary, primary_key=True),
    Column("client_id", Text, ForeignKey("client.id", ondelete="CASCADE"), nullable=False),
    Column("user_id", Text, ForeignKey("users.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("session_id", Text, nullable=False),
    Column("redirect_uri", Text, nullable=False),
    Column("scope", Text, nullable=False),
    Column("resource", Text, nullable=False),
    Column("nonce", Text),
    Column("code_challenge", Text, nullable=False),
    Column("dpop_jkt", Text),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False, index=True),
    Column("used_at", BigInteger),
    Column("family_id", Text),  # of the tokens that came of it
)

token_family = Table(  # what one code led to: its access tokens carry the id as `fid`, its refresh tokens rotate
    "token_family",
    metadata,
    Column("id", Text, primary_key=True),
    Column("client_id", Text, ForeignKey("client.id", ondelete="CASCADE"), nullable=False),
    Column("user_id", Text, ForeignKey("users.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("session_id", Text, nullable=False, index=True),
    Column("scope", Text, nullable=False),
    Column("resource", Text, nullable=False),
    Column("dpop_jkt", Text),  # the key that refresh tokens of a public client are bound to
    Column("auth_time", BigInteger, nullable=False),
    Column("amr", Json, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("used_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False, index=True),
    Column("ended_at", BigInteger),
)

refresh_token = Table(
    "refresh_token",
    metadata,
    Column("id", Text, primary_key=True),
    Column("token_digest", LargeBinary, nullable=False, unique=True),
    Column("family_id", Text, ForeignKey("token_family.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("created_at", BigInteger, nullable=False),
    Column("used_at", BigInteger),
    Column("successor_id", Text),
    Column("successor_sealed", LargeBinary),  # the token that took its place, for whoever asks twice at once
)

used_proof = Table(  # DPoP proofs and client assertions that count once
    "used_proof",
    metadata,
    Column("proof_digest", LargeBinary, primary_key=True),
    Column("expires_at", BigInteger, nullable=False, index=True),
)

# apikeys/ -----------------------------------------------------------------------------------------------------------
api_key = Table(
    "api_key",
    metadata,
    Column("id", Text, primary_key=True),
    Column("user_id", Text, ForeignKey("users.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("name", Text, nullable=False),
    Column("hint", Text, nullable=False),  # the first letters of the newest secret
    Column("scopes", Json, nullable=False),
    Column("networks", Json, nullable=False),  # where it may be used from; empty: anywhere
    Column("per_minute", BigInteger),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False, index=True),
    Column("reminded_at", BigInteger),
    Column("last_used_at", BigInteger),
    Column("last_address", Text),
)

api_key_secret = Table(  # two live ones while a key is being rotated
    "api_key_secret",
    metadata,
    Column("secret_digest", LargeBinary, primary_key=True),
    Column("key_id", Text, ForeignKey("api_key.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger),
)

# events/ ------------------------------------------------------------------------------------------------------------
user_event = Table(  # what apps are told of users, in the order of `seq`
    "user_event",
    metadata,
    Column("seq", Seq, primary_key=True, autoincrement=True),
    Column("id", Text, nullable=False, unique=True),
    Column("type", Text, nullable=False),  # user.created | user.updated | user.deleted | session.ended
    Column("user_id", Text, nullable=False),
    Column("data", Json, nullable=False),
    Column("at", BigInteger, nullable=False, index=True),
    sqlite_autoincrement=True,
)

webhook = Table(
    "webhook",
    metadata,
    Column("id", Text, primary_key=True),
    Column("url", Text, nullable=False),
    Column("types", Json, nullable=False),  # list of event types; empty: all
    Column("secret_sealed", LargeBinary, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("disabled_at", BigInteger),
    Column("delivered_seq", BigInteger, nullable=False),  # everything up to here has arrived, or was given up
    Column("attempts", BigInteger, nullable=False),  # at the next event, in vain
    Column("due_at", BigInteger, nullable=False),
    Column("claimed_until", BigInteger, nullable=False),
    Column("failing_since", BigInteger),
    Column("last_error", Text),
)

# web/ ---------------------------------------------------------------------------------------------------------------
idempotency = Table(  # what was answered to a request that may come again
    "idempotency",
    metadata,
    Column("id", Text, primary_key=True),  # a MAC of who asked and their key
    Column("request_digest", LargeBinary, nullable=False),
    Column("answer_sealed", LargeBinary),  # NULL while it is being worked on
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False, index=True),
)
