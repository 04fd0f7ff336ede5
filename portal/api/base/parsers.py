"""JSON in, without what PostgreSQL cannot store."""

import json
import math
from collections.abc import Mapping
from typing import IO, Any, NoReturn

from rest_framework.exceptions import ParseError
from rest_framework.parsers import BaseParser

from flows.sdk import bundles, errand_counter
from portal.api.base.errors import TooLarge

MAX_BODY = 4 * 1024 * 1024  # bytes
MAX_BUNDLE = 4 * bundles.MOST_BYTES // 3 + 4096
MAX_ERRANDS = 4 * errand_counter.MOST_BYTES // 3 + 2**20
MAX_REPORT = 16 * 1024 * 1024
MAX_DEPTH = 64


class StrictJSONParser(BaseParser):
    """Refuses NaN, infinities, NUL and unpaired surrogates, great depth, and large bodies."""

    media_type = "application/json"
    most_bytes = MAX_BODY

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        body = stream.read(self.most_bytes + 1)
        if len(body) > self.most_bytes:
            raise TooLarge(f"The body is larger than {self.most_bytes // 1024} KiB.")
        try:
            value = json.loads(body.decode("utf-8"), parse_constant=_refuse, parse_float=_finite)
        except RecursionError as error:
            raise ParseError("The JSON is nested too deeply.") from error
        except ValueError as error:
            raise ParseError(f"The body is not valid JSON: {error}") from error
        _check(value)
        return value


class BundleParser(StrictJSONParser):
    """For bodies that hold a bundle in base64."""

    most_bytes = MAX_BUNDLE


class ErrandsParser(StrictJSONParser):
    """For bodies that hold calls of tasks in base64."""

    most_bytes = MAX_ERRANDS


class ReportParser(BaseParser):
    """Leaves the JSON of a report as it is: thousands of rows are read and checked in one go."""

    media_type = "application/json"

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        body = stream.read(MAX_REPORT + 1)
        if len(body) > MAX_REPORT:
            raise TooLarge(f"A report has at most {MAX_REPORT // 1024} KiB.")
        return body


def without_nul(text: str) -> str:
    """JSON text with replacement characters for NUL, which PostgreSQL cannot hold.

    For what is taken in bulk: one odd line must not cost all the others.
    """
    return text.replace("\\u0000", "\\ufffd") if "\\u0000" in text else text


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a JSON number")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:40]} is too large a number")
    return number


def _check(value: Any) -> None:
    """Walk the whole value, keys included. Raises ParseError."""
    level = [value]
    for _ in range(MAX_DEPTH):
        below: list[Any] = []
        for each in level:
            if isinstance(each, str):
                _check_text(each)
            elif isinstance(each, dict):
                below += each.keys()
                below += each.values()
            elif isinstance(each, list):
                below += each
        if not below:
            return
        level = below
    raise ParseError(f"The JSON is nested too deeply: more than {MAX_DEPTH} levels.")


def _check_text(text: str) -> None:
    if "\0" in text:
        raise ParseError("Text must not contain NUL characters (\\u0000).")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ParseError("Text must not contain unpaired surrogates.") from error
