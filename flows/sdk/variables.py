"""Variables: small JSON values of the workspace, read and written by name."""

import json
import re
from collections.abc import Iterable
from typing import Any, Self

from flows.sdk.backend import StoredVariable, current_backend
from flows.sdk.calling import Ask, either
from flows.sdk.steps import Steps, drive_async

MOST_CHARACTERS = 5_000
NAME_PATTERN = r"\A[a-z0-9]+([_-][a-z0-9]+)*\Z"
NAME_RULE = "Use lower-case letters, digits, and single _ or - between them."


class Variable:
    """A variable as it was read: `name`, `value` (JSON) and `tags`.

    In async code, calls of `get`, `set` and `unset` are awaited; `aget`, `aset` and `aunset` always are.
    """

    def __init__(self, name: str, value: Any, tags: Iterable[str] = ()) -> None:
        self.name = name
        self.value = value
        self.tags = list(tags)

    @classmethod
    def get(cls, name: str, default: Any = None) -> Any:
        """The value of a variable; `default` if there is no such variable."""
        return either(_get(name, default))

    @classmethod
    async def aget(cls, name: str, default: Any = None) -> Any:
        """As `get`."""
        return await drive_async(_get(name, default))

    @classmethod
    def set(cls, name: str, value: Any, tags: Iterable[str] | None = None, overwrite: bool = False) -> Any:
        """Store a JSON value of at most 5,000 characters; returns the Variable.

        Raises ValueError for a name or a value that cannot be stored, and AlreadyThereError (a ValueError) if
        there is a variable of this name and not `overwrite`.
        """
        return either(cls._set(name, value, tuple(tags or ()), overwrite))

    @classmethod
    async def aset(
        cls, name: str, value: Any, tags: Iterable[str] | None = None, overwrite: bool = False
    ) -> Any:
        """As `set`."""
        return await drive_async(cls._set(name, value, tuple(tags or ()), overwrite))

    @classmethod
    def unset(cls, name: str) -> Any:
        """Delete a variable; whether there was one."""
        return either(_unset(name))

    @classmethod
    async def aunset(cls, name: str) -> bool:
        """As `unset`."""
        return await drive_async(_unset(name))

    @classmethod
    def _set(cls, name: str, value: Any, tags: tuple[str, ...], overwrite: bool) -> Steps[Self]:
        check_variable(name, value)
        stored: StoredVariable = yield Ask(current_backend().variables.set, name, value, tags, overwrite)
        return cls(stored.name, stored.value, stored.tags)

    def __repr__(self) -> str:
        return f"Variable({self.name!r}, {self.value!r})"


def check_variable(name: str, value: Any) -> None:
    """Raises ValueError for a name that breaks the rule, or a value that is no JSON or too long."""
    if not re.match(NAME_PATTERN, name) or len(name) > 255:
        raise ValueError(f"{name!r} cannot be the name of a variable. {NAME_RULE}")
    try:
        length = len(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise ValueError(f"The value of variable {name!r} is not JSON: {error}") from error
    if length > MOST_CHARACTERS:
        raise ValueError(
            f"The value of variable {name!r} is longer than {MOST_CHARACTERS} characters as JSON."
        )


def _get(name: str, default: Any) -> Steps[Any]:
    stored: StoredVariable | None = yield Ask(current_backend().variables.get, name)
    return default if stored is None else stored.value


def _unset(name: str) -> Steps[bool]:
    there: bool = yield Ask(current_backend().variables.unset, name)
    return there
