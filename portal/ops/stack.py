"""Finding the stack: which PostgreSQL, which Redis, which secret.

From the environment (`DATABASE_URL`, `REDIS_URL`, `PORTAL_SECRET_KEY`), else from the
`stack.json` that `manage.py up` writes into its data folder. Imports nothing heavy.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

NOT_FOUND = "no stack found: run `make run` or set DATABASE_URL"
DEFAULT_URL = "http://localhost:4200"
SHORTEST_SECRET = 16
PLACEHOLDERS = {"changeme", "change-me", "secret", "password", "example", "replace-me", "postgres-password"}


class StackError(Exception):
    """The stack's addresses or secrets cannot be used. The text says which variable and what to do."""


@dataclass(frozen=True, slots=True)
class Stack:
    """Where the servers are, and the secret that sessions and results are signed with."""

    database_url: str
    redis_url: str
    secret_key: str
    url: str = DEFAULT_URL


def data_folder() -> Path:
    """The folder of the embedded stack: `PORTAL_DATA_DIR`, default `.portal` here."""
    return Path(os.environ.get("PORTAL_DATA_DIR", ".portal")).absolute()


def stack_file() -> Path:
    """Where `manage.py up` notes the addresses of the running stack."""
    return data_folder() / "stack.json"


def is_debug() -> bool:
    """Whether `PORTAL_DEBUG` asks for Django's debug mode."""
    return os.environ.get("PORTAL_DEBUG", "").lower() in {"1", "true", "yes"}


def find_stack() -> Stack | None:
    """The stack that this process belongs to; None if there is none. Reads no network.

    Raises StackError for a missing or placeholder secret.
    """
    if os.environ.get("DATABASE_URL"):
        return _stack_of_environment()
    try:
        content = json.loads(stack_file().read_text())
    except (FileNotFoundError, NotADirectoryError, PermissionError, ValueError):
        return None
    return Stack(
        database_url=content["database_url"],
        redis_url=content["redis_url"],
        secret_key=content["secret_key"],
        url=public_url(content["url"]),
    )


def _stack_of_environment() -> Stack:
    secret_key = os.environ.get("PORTAL_SECRET_KEY", "")
    if secret_key or not is_debug():
        refuse_weak_secret_key(secret_key)
    database_url = os.environ["DATABASE_URL"]
    refuse_placeholder("the password in DATABASE_URL", urlsplit(database_url).password or "")
    return Stack(
        database_url=database_url,
        redis_url=os.environ.get("REDIS_URL", "redis://localhost:6379/0"),
        secret_key=secret_key,
        url=public_url(DEFAULT_URL),
    )


def public_url(default: str) -> str:
    """`PORTAL_URL`, from which hosts, origins and secure cookies derive; `default` if it is not set."""
    return _address("PORTAL_URL", default, "https://portal.example.org")


def agent_api_url(url: str) -> str:
    """`PORTAL_AGENT_API_URL`: where isolated runs reach the API; if it is not set, below the public `url`."""
    return _address("PORTAL_AGENT_API_URL", f"{url}/api", "http://server:4200/api")


def _address(name: str, default: str, example: str) -> str:
    """The URL that the environment names, without a slash at its end. Raises StackError."""
    url = os.environ.get(name) or default
    if urlsplit(url).scheme not in {"http", "https"} or not urlsplit(url).hostname:
        raise StackError(f"{name} must look like {example}, and is {url!r}.")
    return url.rstrip("/")


def pooler() -> str:
    """`PORTAL_POOLER`: how a PgBouncer at DATABASE_URL shares its connections; empty if there is none.

    Raises StackError.
    """
    mode = os.environ.get("PORTAL_POOLER", "")
    if mode not in {"", "session", "transaction"}:
        raise StackError(f"PORTAL_POOLER must be session or transaction, and is {mode!r}.")
    return mode


def refuse_weak_secret_key(secret_key: str) -> None:
    """Every process must share one strong key: it signs sessions and results."""
    hint = "Make one: python -c 'import secrets; print(secrets.token_urlsafe(50))'"
    if not secret_key:
        raise StackError(f"PORTAL_SECRET_KEY is not set, and DATABASE_URL is. {hint}")
    refuse_placeholder("PORTAL_SECRET_KEY", secret_key)
    if len(secret_key) < SHORTEST_SECRET:
        raise StackError(f"PORTAL_SECRET_KEY is shorter than {SHORTEST_SECRET} characters. {hint}")


def refuse_placeholder(name: str, value: str) -> None:
    """Raise StackError if `value` is what examples say instead of a secret of your own."""
    if value.lower() in PLACEHOLDERS or value.lower().startswith(("change-me", "changeme", "replace-")):
        raise StackError(f"{name} is still a placeholder: set a secret of your own.")
