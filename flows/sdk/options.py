"""Checks and defaults that flows and tasks share."""

import inspect
from collections.abc import Callable
from typing import Any


def checked_retries(retries: int, delay_seconds: float) -> None:
    """Raise ValueError for a negative number of retries or a negative delay."""
    if retries < 0:
        raise ValueError(f"retries must be 0 or more, not {retries}.")
    if delay_seconds < 0:
        raise ValueError(f"retry_delay_seconds must be 0 or more, not {delay_seconds}.")


def described(fn: Callable[..., Any], description: str | None) -> str:
    """The description that was given, or the docstring."""
    return inspect.getdoc(fn) or "" if description is None else description


def key_of(fn: Callable[..., Any], name: str) -> str:
    """What tells the tasks of a flow apart: the function, and the name if it is another."""
    return fn.__qualname__ if name == fn.__name__ else f"{fn.__qualname__}[{name}]"
