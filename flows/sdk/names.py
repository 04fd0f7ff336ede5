"""Names of runs: words from coolname, a template over the parameters, or what a function says."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

RunName = str | Callable[..., str]


# Words of coolname that do not belong on a page that colleagues share.
UNWANTED = frozenset({"booby", "chubby", "curvy", "demonic", "fat", "kickass", "sexy"})


def random_name() -> str:
    """Two words that people can remember and say, such as "brave-otter"."""
    from coolname import generate

    while True:
        words: list[str] = generate(2)
        if UNWANTED.isdisjoint(words):
            return "-".join(words)


def checked_run_name(name: RunName | None, option: str) -> RunName | None:
    """The option as it is. Raises TypeError if it is neither a text nor a function."""
    if name is not None and not isinstance(name, str) and not callable(name):
        raise TypeError(f"{option} must be a template or a function that returns a name, not {name!r}.")
    return name


def run_name(wanted: RunName, parameters: Mapping[str, Any], option: str) -> str:
    """The name of a run with these parameters.

    Raises ValueError if a template names a parameter that is not there, TypeError if a function returns
    something else than a text, and whatever the function raises.
    """
    if isinstance(wanted, str):
        return _filled_in(wanted, parameters, option)
    takes_parameters = "parameters" in inspect.signature(wanted).parameters
    name = wanted(parameters=dict(parameters)) if takes_parameters else wanted()
    if not isinstance(name, str):
        raise TypeError(f"The function given as {option} must return a text, but returned {name!r}.")
    return name


def _filled_in(template: str, parameters: Mapping[str, Any], option: str) -> str:
    try:
        return template.format(**parameters)
    except (KeyError, IndexError, AttributeError) as error:
        known = ", ".join(parameters) or "none"
        raise ValueError(
            f"The {option} template {template!r} cannot be filled in: {error}. Parameters are: {known}."
        ) from error
