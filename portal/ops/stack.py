"""Finding the stack: which PostgreSQL, which Redis, which secret.

From the environment (`DATABASE_URL`, `REDIS_URL`, `PORTAL_SECRET_KEY`), else from the
`stack.json` that `manage.py up` writes into its data folder.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path

NOT_FOUND = "no stack found: run `make run` or set DATABASE_URL"


@dataclass(frozen=True, slots=True)
class Stack:
    """Where the servers are, and the secret that sessions and results are signed with."""

    database_url: str
    redis_url: str
    secret_key: str
    url: str = "http://localhost:4200"


def data_folder() -> Path:
    """The folder of the embedded stack: `PORTAL_DATA_DIR`, default `.portal` here."""
    return Path(os.environ.get("PORTAL_DATA_DIR", ".portal")).absolute()


def find_stack() -> Stack | None:
    """The stack that this process belongs to; None if there is none. Reads no network."""
    if os.environ.get("DATABASE_URL"):
        return Stack(
            database_url=os.environ["DATABASE_URL"],
            redis_url=os.environ.get("REDIS_URL", "redis://localhost:6379/0"),
            secret_key=os.environ.get("PORTAL_SECRET_KEY", ""),
            url=os.environ.get("PORTAL_URL", "http://localhost:4200"),
        )
    try:
        content = json.loads((data_folder() / "stack.json").read_text())
    except (FileNotFoundError, NotADirectoryError, PermissionError, ValueError):
        return None
    return Stack(
        database_url=content["database_url"],
        redis_url=content["redis_url"],
        secret_key=content["secret_key"],
        url=content["url"],
    )
