"""Alembic reads this file at each run; see `__init__.py` for how we run it."""

from alembic import context

context.configure(dialect_name=context.config.attributes["dialect"], literal_binds=True)
context.run_migrations()
