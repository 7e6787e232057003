"""Second factors and passkeys, half signed-in states, deletions that can be undone, users' own newest events."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0003"
down_revision = "0002"

_JSON = sa.Text().with_variant(JSONB(), "postgresql")


def upgrade() -> None:
    """Create the tables, and let the audit's index by user also give the order."""
    op.create_table(
        "authenticator",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("user_id", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("label", sa.Text, nullable=False),
        sa.Column("lookup", sa.LargeBinary),
        sa.Column("secret_sealed", sa.LargeBinary, nullable=False),
        sa.Column("state", _JSON, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("step", sa.BigInteger, nullable=False),
        sa.Column("bound_at", sa.BigInteger, nullable=False),
        sa.Column("last_used_at", sa.BigInteger),
        sa.PrimaryKeyConstraint("id", name="pk_authenticator"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_authenticator_user_id", ondelete="CASCADE"),
        sa.UniqueConstraint("lookup", name="uq_authenticator_lookup"),
    )
    op.create_index("ix_authenticator_user_id", "authenticator", ["user_id"])
    op.create_table(
        "challenge",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("purpose", sa.Text, nullable=False),
        sa.Column("holder_digest", sa.LargeBinary, nullable=False),
        sa.Column("user_id", sa.Text),
        sa.Column("content_sealed", sa.LargeBinary, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_challenge"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_challenge_user_id", ondelete="CASCADE"),
    )
    op.create_index("ix_challenge_expires_at", "challenge", ["expires_at"])
    op.create_index("ix_challenge_holder_digest", "challenge", ["holder_digest"])
    op.create_index("ix_challenge_user_id", "challenge", ["user_id"])
    op.create_table(
        "cool_off",
        sa.Column("user_id", sa.Text, nullable=False),
        sa.Column("asked_at", sa.BigInteger, nullable=False),
        sa.Column("email_shown_at", sa.BigInteger),
        sa.Column("phone_shown_at", sa.BigInteger),
        sa.Column("due_at", sa.BigInteger),
        sa.PrimaryKeyConstraint("user_id", name="pk_cool_off"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_cool_off_user_id", ondelete="CASCADE"),
    )
    op.create_index("ix_cool_off_due_at", "cool_off", ["due_at"])
    op.create_table(
        "deletion",
        sa.Column("user_id", sa.Text, nullable=False),
        sa.Column("asked_at", sa.BigInteger, nullable=False),
        sa.Column("due_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("user_id", name="pk_deletion"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_deletion_user_id", ondelete="CASCADE"),
    )
    op.create_index("ix_deletion_due_at", "deletion", ["due_at"])
    op.create_table(
        "grace",
        sa.Column("user_id", sa.Text, nullable=False),
        sa.Column("since", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("user_id", name="pk_grace"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_grace_user_id", ondelete="CASCADE"),
    )
    op.create_table(
        "passkey_user",
        sa.Column("user_id", sa.Text, nullable=False),
        sa.Column("handle", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("user_id", name="pk_passkey_user"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_passkey_user_user_id", ondelete="CASCADE"),
        sa.UniqueConstraint("handle", name="uq_passkey_user_handle"),
    )
    op.create_table(
        "kept_form",
        sa.Column("session_id", sa.Text, nullable=False),
        sa.Column("path", sa.Text, nullable=False),
        sa.Column("fields_sealed", sa.LargeBinary, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("session_id", name="pk_kept_form"),
        sa.ForeignKeyConstraint(["session_id"], ["session.id"], name="fk_kept_form_session_id", ondelete="CASCADE"),
    )
    op.create_index("ix_kept_form_expires_at", "kept_form", ["expires_at"])
    op.create_table(
        "ticket",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("token_digest", sa.LargeBinary, nullable=False),
        sa.Column("user_id", sa.Text, nullable=False),
        sa.Column("session_id", sa.Text),
        sa.Column("owes", sa.Text, nullable=False),
        sa.Column("amr", _JSON, nullable=False),
        sa.Column("context", _JSON, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_ticket"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_ticket_user_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["session_id"], ["session.id"], name="fk_ticket_session_id", ondelete="CASCADE"),
        sa.UniqueConstraint("token_digest", name="uq_ticket_token_digest"),
    )
    op.create_index("ix_ticket_expires_at", "ticket", ["expires_at"])
    op.create_index("ix_ticket_session_id", "ticket", ["session_id"])
    op.create_index("ix_ticket_user_id", "ticket", ["user_id"])
    op.create_index("ix_audit_event_user_id_id", "audit_event", ["user_id", "id"])
    op.drop_index("ix_audit_event_user_id", "audit_event")
