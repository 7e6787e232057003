"""The first schema."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0001"
down_revision = None

JSON = sa.Text().with_variant(JSONB(), "postgresql")
SEQ = sa.Integer().with_variant(sa.BigInteger(), "postgresql")
VERIFIED = sa.text("verified_at IS NOT NULL")


def upgrade() -> None:
    """Create every table."""
    op.create_table(
        "audit_event",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("event", sa.Text, nullable=False),
        sa.Column("outcome", sa.Text, nullable=False),
        sa.Column("user_id", sa.Text),
        sa.Column("actor_id", sa.Text),
        sa.Column("session_id", sa.Text),
        sa.Column("address", sa.Text, nullable=False),
        sa.Column("request_id", sa.Text, nullable=False),
        sa.Column("payload", JSON),
        sa.Column("payload_digest", sa.LargeBinary),
        sa.Column("mac", sa.LargeBinary, nullable=False),
        sa.Column("key_id", sa.Text, nullable=False),
        sa.Column("chain_seq", sa.BigInteger),
        sa.Column("chain_digest", sa.LargeBinary),
        sa.PrimaryKeyConstraint("id", name="pk_audit_event"),
        sa.UniqueConstraint("chain_seq", name="uq_audit_event_chain_seq"),
    )
    op.create_index("ix_audit_event_user_id", "audit_event", ["user_id"])
    op.create_table(
        "bucket",
        sa.Column("key", sa.LargeBinary, nullable=False),
        sa.Column("arrival_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_bucket"),
    )
    op.create_index("ix_bucket_expires_at", "bucket", ["expires_at"])
    op.create_table(
        "lease",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("holder", sa.Text, nullable=False),
        sa.Column("until", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_lease"),
    )
    op.create_table(
        "revocation",
        sa.Column("seq", SEQ, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("seq", name="pk_revocation"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_revocation_at", "revocation", ["at"])
    op.create_table(
        "setting",
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("value", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_setting"),
    )
    op.create_table(
        "setup_link",
        sa.Column("token_digest", sa.LargeBinary, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.Column("used_at", sa.BigInteger),
        sa.PrimaryKeyConstraint("token_digest", name="pk_setup_link"),
    )
    op.create_table(
        "signing_key",
        sa.Column("kid", sa.Text, nullable=False),
        sa.Column("alg", sa.Text, nullable=False),
        sa.Column("public_jwk", JSON, nullable=False),
        sa.Column("private_sealed", sa.LargeBinary, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("active_from", sa.BigInteger, nullable=False),
        sa.Column("retired_at", sa.BigInteger),
        sa.PrimaryKeyConstraint("kid", name="pk_signing_key"),
    )
    op.create_table(
        "throttle",
        sa.Column("key", sa.LargeBinary, nullable=False),
        sa.Column("failures", sa.BigInteger, nullable=False),
        sa.Column("not_before", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_throttle"),
    )
    op.create_index("ix_throttle_expires_at", "throttle", ["expires_at"])
    op.create_table(
        "users",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("uid", sa.Text, nullable=False),
        sa.Column("uid_key", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("dob", sa.Text),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("roles", JSON, nullable=False),
        sa.Column("fields", JSON, nullable=False),
        sa.Column("legacy_id", sa.Text),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("updated_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_users"),
        sa.UniqueConstraint("legacy_id", name="uq_users_legacy_id"),
        sa.UniqueConstraint("uid_key", name="uq_users_uid_key"),
    )
    op.create_table(
        "identifier",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("user_id", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("value", sa.Text, nullable=False),
        sa.Column("value_key", sa.Text, nullable=False),
        sa.Column("verified_at", sa.BigInteger),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_identifier_user_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_identifier"),
        sa.UniqueConstraint("user_id", "kind", "value_key", name="uq_identifier_user_id_kind_value_key"),
    )
    op.create_index("ix_identifier_user_id", "identifier", ["user_id"])
    op.create_index(
        "uq_identifier_verified",
        "identifier",
        ["kind", "value_key"],
        unique=True,
        sqlite_where=VERIFIED,
        postgresql_where=VERIFIED,
    )
    op.create_table(
        "known_device",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("user_id", sa.Text, nullable=False),
        sa.Column("token_digest", sa.LargeBinary, nullable=False),
        sa.Column("failures", sa.BigInteger, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("last_used_at", sa.BigInteger, nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_known_device_user_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_known_device"),
        sa.UniqueConstraint("token_digest", name="uq_known_device_token_digest"),
    )
    op.create_index("ix_known_device_user_id", "known_device", ["user_id"])
    op.create_table(
        "password",
        sa.Column("user_id", sa.Text, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("set_at", sa.BigInteger, nullable=False),
        sa.Column("change_wanted", sa.Text),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_password_user_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("user_id", name="pk_password"),
    )
    op.create_table(
        "session",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("token_digest", sa.LargeBinary, nullable=False),
        sa.Column("user_id", sa.Text, nullable=False),
        sa.Column("transport", sa.Text, nullable=False),
        sa.Column("amr", JSON, nullable=False),
        sa.Column("aal", sa.BigInteger, nullable=False),
        sa.Column("auth_time", sa.BigInteger, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("last_seen_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.Column("address", sa.Text, nullable=False),
        sa.Column("user_agent", sa.Text, nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_session_user_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_session"),
        sa.UniqueConstraint("token_digest", name="uq_session_token_digest"),
    )
    op.create_index("ix_session_expires_at", "session", ["expires_at"])
    op.create_index("ix_session_user_id", "session", ["user_id"])
    if op.get_context().dialect.name == "postgresql":
        wake_listeners()


def wake_listeners() -> None:
    """Notify every node when the transaction of a revocation commits."""
    op.execute(
        "CREATE FUNCTION doorward_revocation_notify() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN PERFORM pg_notify('doorward_revocation', ''); RETURN NULL; END $$"
    )
    op.execute(
        "CREATE TRIGGER doorward_revocation_notify AFTER INSERT ON revocation "
        "FOR EACH STATEMENT EXECUTE FUNCTION doorward_revocation_notify()"
    )
