"""Apps: clients, their codes and tokens, keys for programs, what apps are told of users."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0004"
down_revision = "0003"

_JSON = sa.Text().with_variant(JSONB(), "postgresql")
_SEQ = sa.Integer().with_variant(sa.BigInteger(), "postgresql")


def upgrade() -> None:
    """Create the tables, and find what is revoked by what it is."""
    op.create_table(
        "client",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("auth_method", sa.Text, nullable=False),
        sa.Column("redirect_uris", _JSON, nullable=False),
        sa.Column("post_logout_redirect_uris", _JSON, nullable=False),
        sa.Column("scopes", _JSON, nullable=False),
        sa.Column("resources", _JSON, nullable=False),
        sa.Column("claims", _JSON, nullable=False),
        sa.Column("jwks", _JSON),
        sa.Column("alg", sa.Text, nullable=False),
        sa.Column("dpop", sa.BigInteger, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_client"),
    )
    op.create_table(
        "client_secret",
        sa.Column("secret_digest", sa.LargeBinary, nullable=False),
        sa.Column("client_id", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger),
        sa.PrimaryKeyConstraint("secret_digest", name="pk_client_secret"),
        sa.ForeignKeyConstraint(["client_id"], ["client.id"], name="fk_client_secret_client_id", ondelete="CASCADE"),
    )
    op.create_index("ix_client_secret_client_id", "client_secret", ["client_id"])
    op.create_table(
        "authorization_code",
        sa.Column("code_digest", sa.LargeBinary, nullable=False),
        sa.Column("client_id", sa.Text, nullable=False),
        sa.Column("user_id", sa.Text, nullable=False),
        sa.Column("session_id", sa.Text, nullable=False),
        sa.Column("redirect_uri", sa.Text, nullable=False),
        sa.Column("scope", sa.Text, nullable=False),
        sa.Column("resource", sa.Text, nullable=False),
        sa.Column("nonce", sa.Text),
        sa.Column("code_challenge", sa.Text, nullable=False),
        sa.Column("dpop_jkt", sa.Text),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.Column("used_at", sa.BigInteger),
        sa.Column("family_id", sa.Text),
        sa.PrimaryKeyConstraint("code_digest", name="pk_authorization_code"),
        sa.ForeignKeyConstraint(
            ["client_id"], ["client.id"], name="fk_authorization_code_client_id", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_authorization_code_user_id", ondelete="CASCADE"),
    )
    op.create_index("ix_authorization_code_user_id", "authorization_code", ["user_id"])
    op.create_index("ix_authorization_code_expires_at", "authorization_code", ["expires_at"])
    op.create_table(
        "token_family",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("client_id", sa.Text, nullable=False),
        sa.Column("user_id", sa.Text, nullable=False),
        sa.Column("session_id", sa.Text, nullable=False),
        sa.Column("scope", sa.Text, nullable=False),
        sa.Column("resource", sa.Text, nullable=False),
        sa.Column("dpop_jkt", sa.Text),
        sa.Column("auth_time", sa.BigInteger, nullable=False),
        sa.Column("amr", _JSON, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("used_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.Column("ended_at", sa.BigInteger),
        sa.PrimaryKeyConstraint("id", name="pk_token_family"),
        sa.ForeignKeyConstraint(["client_id"], ["client.id"], name="fk_token_family_client_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_token_family_user_id", ondelete="CASCADE"),
    )
    op.create_index("ix_token_family_user_id", "token_family", ["user_id"])
    op.create_index("ix_token_family_session_id", "token_family", ["session_id"])
    op.create_index("ix_token_family_expires_at", "token_family", ["expires_at"])
    op.create_table(
        "refresh_token",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("token_digest", sa.LargeBinary, nullable=False),
        sa.Column("family_id", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("used_at", sa.BigInteger),
        sa.Column("successor_id", sa.Text),
        sa.Column("successor_sealed", sa.LargeBinary),
        sa.PrimaryKeyConstraint("id", name="pk_refresh_token"),
        sa.ForeignKeyConstraint(
            ["family_id"], ["token_family.id"], name="fk_refresh_token_family_id", ondelete="CASCADE"
        ),
        sa.UniqueConstraint("token_digest", name="uq_refresh_token_token_digest"),
    )
    op.create_index("ix_refresh_token_family_id", "refresh_token", ["family_id"])
    op.create_table(
        "used_proof",
        sa.Column("proof_digest", sa.LargeBinary, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("proof_digest", name="pk_used_proof"),
    )
    op.create_index("ix_used_proof_expires_at", "used_proof", ["expires_at"])
    op.create_table(
        "api_key",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("user_id", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("hint", sa.Text, nullable=False),
        sa.Column("scopes", _JSON, nullable=False),
        sa.Column("networks", _JSON, nullable=False),
        sa.Column("per_minute", sa.BigInteger),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.Column("reminded_at", sa.BigInteger),
        sa.Column("last_used_at", sa.BigInteger),
        sa.Column("last_address", sa.Text),
        sa.PrimaryKeyConstraint("id", name="pk_api_key"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_api_key_user_id", ondelete="CASCADE"),
    )
    op.create_index("ix_api_key_user_id", "api_key", ["user_id"])
    op.create_index("ix_api_key_expires_at", "api_key", ["expires_at"])
    op.create_table(
        "api_key_secret",
        sa.Column("secret_digest", sa.LargeBinary, nullable=False),
        sa.Column("key_id", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger),
        sa.PrimaryKeyConstraint("secret_digest", name="pk_api_key_secret"),
        sa.ForeignKeyConstraint(["key_id"], ["api_key.id"], name="fk_api_key_secret_key_id", ondelete="CASCADE"),
    )
    op.create_index("ix_api_key_secret_key_id", "api_key_secret", ["key_id"])
    op.create_table(
        "user_event",
        sa.Column("seq", _SEQ, autoincrement=True, nullable=False),
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("user_id", sa.Text, nullable=False),
        sa.Column("data", _JSON, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("seq", name="pk_user_event"),
        sa.UniqueConstraint("id", name="uq_user_event_id"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_user_event_at", "user_event", ["at"])
    op.create_table(
        "webhook",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("url", sa.Text, nullable=False),
        sa.Column("types", _JSON, nullable=False),
        sa.Column("secret_sealed", sa.LargeBinary, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("disabled_at", sa.BigInteger),
        sa.Column("delivered_seq", sa.BigInteger, nullable=False),
        sa.Column("attempts", sa.BigInteger, nullable=False),
        sa.Column("due_at", sa.BigInteger, nullable=False),
        sa.Column("claimed_until", sa.BigInteger, nullable=False),
        sa.Column("failing_since", sa.BigInteger),
        sa.Column("last_error", sa.Text),
        sa.PrimaryKeyConstraint("id", name="pk_webhook"),
    )
    op.create_table(
        "idempotency",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("request_digest", sa.LargeBinary, nullable=False),
        sa.Column("answer_sealed", sa.LargeBinary),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_idempotency"),
    )
    op.create_index("ix_idempotency_expires_at", "idempotency", ["expires_at"])
    op.create_index("ix_revocation_kind_id", "revocation", ["kind", "id"])
