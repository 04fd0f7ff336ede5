"""Lists of values, as people write them."""

import json
from typing import Any


def value_of(text: str) -> Any:
    """JSON where it reads as JSON, else the text: 3, true, [1,2], Seattle."""
    try:
        return json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return text


def values_of(text: str) -> list[Any]:
    """`a, b, c` or a JSON list. Raises ValueError for an empty value between commas."""
    whole = value_of(text)
    if isinstance(whole, list):
        return whole
    if not isinstance(whole, str):
        return [whole]
    parts = [part.strip() for part in whole.split(",")]
    if not all(parts):
        raise ValueError(f"'{text}' has an empty value between its commas")
    return [value_of(part) for part in parts]


def _refuse(constant: str) -> None:
    raise ValueError(constant)
