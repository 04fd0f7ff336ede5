"""What several commands do with their arguments."""

from argparse import ArgumentTypeError
from collections.abc import Iterable
from typing import Any

from portal.values import value_of, values_of


def parameter(text: str) -> tuple[str, Any]:
    """`name=value`. The value is JSON where it reads as JSON, else text: 3, true, [1,2], Seattle."""
    name, value = _named(text)
    return name, value_of(value)


def parameter_values(text: str) -> tuple[str, list[Any]]:
    """`name=a,b,c` or `name=[1,2,3]`: a parameter and the values that it takes in turn."""
    name, value = _named(text)
    try:
        return name, values_of(value)
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from error


def _named(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise ArgumentTypeError(f"'{text}' is not of the form name=value")
    return name, value


def as_dict(parameters: Iterable[tuple[str, Any]] | None) -> dict[str, Any]:
    """The parameters by name; the last one of a name counts."""
    return dict(parameters or ())
