"""Messages, confirmations, reserved handles, and the language of a user."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Create the tables and add the column.

    The keys of addresses follow the DNS from here on. Those that are stored stay: none is proven before this revision,
    a proof writes its key anew, and they differ only beyond ASCII.
    """
    op.add_column("users", sa.Column("locale", sa.Text))
    op.create_table(
        "message",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("template", sa.Text, nullable=False),
        sa.Column("recipient", sa.Text, nullable=False),
        sa.Column("locale", sa.Text, nullable=False),
        sa.Column("values_sealed", sa.LargeBinary),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("attempts", sa.BigInteger, nullable=False),
        sa.Column("due_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("done_at", sa.BigInteger),
        sa.Column("error", sa.Text),
        sa.PrimaryKeyConstraint("id", name="pk_message"),
    )
    op.create_index("ix_message_queue", "message", ["state", "due_at"])
    op.create_index("ix_message_created_at", "message", ["created_at"])
    op.create_table(
        "confirmation",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("purpose", sa.Text, nullable=False),
        sa.Column("user_id", sa.Text),
        sa.Column("target", sa.Text, nullable=False),
        sa.Column("target_key", sa.Text, nullable=False),
        sa.Column("token_digest", sa.LargeBinary, nullable=False),
        sa.Column("code_mac", sa.LargeBinary),
        sa.Column("code_expires_at", sa.BigInteger, nullable=False),
        sa.Column("failures", sa.BigInteger, nullable=False),
        sa.Column("holder_digest", sa.LargeBinary),
        sa.Column("payload_sealed", sa.LargeBinary, nullable=False),
        sa.Column("locale", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.Column("used_at", sa.BigInteger),
        sa.Column("voided_at", sa.BigInteger),
        sa.PrimaryKeyConstraint("id", name="pk_confirmation"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_confirmation_user_id", ondelete="CASCADE"),
        sa.UniqueConstraint("token_digest", name="uq_confirmation_token_digest"),
    )
    op.create_index("ix_confirmation_user_id", "confirmation", ["user_id"])
    op.create_index("ix_confirmation_holder_digest", "confirmation", ["holder_digest"])
    op.create_index("ix_confirmation_expires_at", "confirmation", ["expires_at"])
    op.create_index("ix_confirmation_target", "confirmation", ["purpose", "target_key"])
    op.create_table(
        "reserved_uid",
        sa.Column("uid_key", sa.Text, nullable=False),
        sa.Column("confirmation_id", sa.Text, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("uid_key", name="pk_reserved_uid"),
        sa.ForeignKeyConstraint(
            ["confirmation_id"], ["confirmation.id"], name="fk_reserved_uid_confirmation_id", ondelete="CASCADE"
        ),
    )
    op.create_index("ix_reserved_uid_confirmation_id", "reserved_uid", ["confirmation_id"])
