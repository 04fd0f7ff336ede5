"""What goes wrong when a pooler stands before PostgreSQL and nobody has said so."""

_SIGNS = ("startup parameter", "prepared statement")
_ADVICE = "Is a PgBouncer at DATABASE_URL? Set PORTAL_POOLER to its pool_mode, session or transaction."


def explained(error: Exception) -> str:
    """The error in one line, with advice if it looks like a pooler's doing."""
    line = next(iter(str(error).strip().splitlines()), "") or repr(error)
    return f"{line} {_ADVICE}" if any(sign in line for sign in _SIGNS) else line
