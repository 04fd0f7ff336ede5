"""Checks and defaults that flows and tasks share."""

import inspect
import os
from collections.abc import Callable, Mapping
from typing import Any


def checked_function(fn: Any, decorator: str) -> Callable[..., Any]:
    """The function itself, also of a classmethod or staticmethod.

    Raises TypeError, saying how the decorator is written, for what is not a function.
    """
    function = fn.__func__ if isinstance(fn, classmethod | staticmethod) else fn
    if not callable(function) or not hasattr(function, "__name__"):
        raise TypeError(
            f"@{decorator} stands before a function, and takes options by name, as in "
            f'@{decorator}(name="..."); it was given {fn!r}.'
        )
    return function


def is_async(fn: Callable[..., Any]) -> bool:
    """Whether the function is a coroutine function or an async generator function."""
    return inspect.iscoroutinefunction(fn) or inspect.isasyncgenfunction(fn)


def is_generator(fn: Callable[..., Any]) -> bool:
    """Whether calling the function makes a generator, sync or async."""
    return inspect.isgeneratorfunction(fn) or inspect.isasyncgenfunction(fn)


def positional_names(signature: inspect.Signature) -> list[str]:
    """The names of the parameters that positional arguments go to; `*args` comes last."""
    named = (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.VAR_KEYWORD)
    return [name for name, each in signature.parameters.items() if each.kind not in named]


def bound(descriptor: Any, instance: object, owner: type | None) -> Callable[..., Any]:
    """What was decorated, as looked up on an instance or class: the function, or a method bound to it."""
    found = descriptor.__get__(instance, owner) if hasattr(descriptor, "__get__") else descriptor
    function: Callable[..., Any] = found
    return function


def call_options(kwargs: dict[str, Any]) -> tuple[Any, bool]:
    """Take `wait_for` and `return_state` out of the arguments of a call."""
    return kwargs.pop("wait_for", None) or (), bool(kwargs.pop("return_state", False))


def refuse_state(name: str) -> None:
    """Raises ValueError: the caller of a generator gets its items, and no state."""
    raise ValueError(f"{name} is a generator, so return_state=True has no meaning: iterate over its call.")


def changed(options: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """The options with those changes that are not None."""
    unknown = changes.keys() - options.keys()
    if unknown:
        known = ", ".join(sorted(options))
        raise TypeError(f"There is no option {', '.join(sorted(unknown))}. Options are: {known}.")
    return {**options, **{name: value for name, value in changes.items() if value is not None}}


def default_number(setting: str) -> float:
    """A default that the environment variable PORTAL_<setting> may give; else 0.

    Raises ValueError naming the variable if it holds no number.
    """
    variable = f"PORTAL_{setting}"
    text = os.environ.get(variable, "0")
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"The environment variable {variable} must be a number, not {text!r}.") from None


def default_log_prints() -> bool:
    """Whether prints are logged where neither task nor flow says: PORTAL_LOGGING_LOG_PRINTS."""
    return os.environ.get("PORTAL_LOGGING_LOG_PRINTS", "").lower() in {"1", "true", "yes", "on"}


def described(fn: Callable[..., Any], description: str | None) -> str:
    """The description that was given, or the docstring."""
    return inspect.getdoc(fn) or "" if description is None else description


def file_version(fn: Callable[..., Any]) -> str | None:
    """A hash of the file that holds the function; None if there is no such file."""
    import hashlib
    from pathlib import Path

    try:
        source = Path(inspect.getsourcefile(fn) or "").read_bytes()
    except (OSError, TypeError):
        return None
    return hashlib.sha256(source).hexdigest()[:32]


def key_of(fn: Callable[..., Any], name: str) -> str:
    """What tells the tasks of a flow apart: the function, and the name if it is another."""
    return fn.__qualname__ if name == fn.__name__ else f"{fn.__qualname__}[{name}]"
