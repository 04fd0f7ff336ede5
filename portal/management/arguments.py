"""What several commands do with their arguments."""

import json
from argparse import ArgumentTypeError
from collections.abc import Iterable
from typing import Any


def parameter(text: str) -> tuple[str, Any]:
    """`name=value`. The value is JSON where it reads as JSON, else text: 3, true, [1,2], Seattle."""
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise ArgumentTypeError(f"'{text}' is not of the form name=value")
    try:
        return name, json.loads(value, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return name, value


def _refuse(constant: str) -> None:
    raise ValueError(constant)


def as_dict(parameters: Iterable[tuple[str, Any]] | None) -> dict[str, Any]:
    """The parameters by name; the last one of a name counts."""
    return dict(parameters or ())
