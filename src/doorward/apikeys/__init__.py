"""Keys for programs: scoped, expiring, replaced without a gap, hashed at rest (C48)."""
