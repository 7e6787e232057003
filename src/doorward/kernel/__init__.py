"""Words every room shares. Standard library only; nothing here knows a database, HTTP or a clock."""
