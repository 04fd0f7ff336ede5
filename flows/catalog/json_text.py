"""JSON as text, for numbers of any size."""

import json
from collections.abc import Callable
from typing import Any

import orjson


def json_text(value: Any, option: int = 0, default: Callable[[Any], Any] | None = None) -> str:
    """`value` as JSON; `option` and `default` as orjson knows them.

    orjson refuses integers of more than 64 bits, which PostgreSQL makes of a float: it gives 1e300 back as an
    integer of 301 digits. Raises TypeError or ValueError for what JSON cannot hold.
    """
    try:
        return orjson.dumps(value, default=default, option=option).decode()
    except orjson.JSONEncodeError:
        by_key = bool(option & orjson.OPT_SORT_KEYS)
        return json.dumps(value, default=default, ensure_ascii=False, allow_nan=False, sort_keys=by_key)
