"""The server's check of parameters: by the schema alone, without running or fetching anything."""

import json
import time
from typing import Any

import pytest

from flows.catalog.json_text import json_text
from flows.catalog.parameters import FieldError, schema_errors, validate

POINT = {
    "type": "object",
    "properties": {"x": {"type": "number"}},
    "required": ["x"],
    "additionalProperties": False,
}
SCHEMA = {
    "type": "object",
    "properties": {"points": {"type": "array", "items": {"$ref": "#/definitions/Point"}}},
    "required": ["points"],
    "definitions": {"Point": POINT},
}


@pytest.mark.parametrize(
    ("parameters", "fields"),
    [
        ({"points": [{"x": 1.5}]}, []),
        ({}, ["points"]),
        ({"points": [{"x": "far"}]}, ["points.0.x"]),
        ({"points": [{}]}, ["points.0.x"]),
        ({"points": [{"x": 1, "y": 2, "z": 3}]}, ["points.0.y", "points.0.z"]),
        ({"points": [], "colour": "red"}, ["colour"]),
    ],
)
def test_each_error_names_its_field(parameters: dict[str, Any], fields: list[str]) -> None:
    assert [error.field for error in validate(SCHEMA, parameters)] == fields


def test_a_flow_that_takes_any_keyword_gets_any() -> None:
    assert validate({**SCHEMA, "additionalProperties": True}, {"points": [], "colour": "red"}) == []


def test_an_empty_schema_allows_everything() -> None:
    assert validate({}, {"anything": [1, 2]}) == []


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "http://127.0.0.1:9/schema.json"},  # must not be fetched
        {"$ref": "#"},  # refers to itself for ever
        {"$ref": "#/nowhere"},
    ],
    ids=["remote", "endless", "missing"],
)
def test_a_schema_that_cannot_be_used_is_an_error_not_a_crash(schema: dict[str, Any]) -> None:
    errors = validate(schema, {"x": "1"})

    assert [error.field for error in errors] == ["parameters"]


@pytest.mark.parametrize(
    ("pattern", "wrong"),
    [("^a+$", 1), (r"^\p{L}+$", 1), ("^(?!7)", 0)],
    ids=["known", "of pydantic", "foreign"],
)
def test_a_pattern_that_cannot_be_read_is_left_to_the_flow(pattern: str, wrong: int) -> None:
    assert len(validate({"properties": {"x": {"type": "string", "pattern": pattern}}}, {"x": "7"})) == wrong


def test_what_cannot_be_stored_is_said_before_it_is_tried() -> None:
    assert [error.field for error in validate({}, {"n": object()})] == ["parameters"]
    assert "512 KiB" in validate({}, {"text": "x" * 600_000})[0].message


def test_a_bad_schema_is_found_when_it_is_deployed() -> None:
    assert schema_errors({"type": "object"}) == []
    assert [error.field for error in schema_errors({"type": 7})] == ["parameter_openapi_schema"]
    assert isinstance(schema_errors({"required": "x"})[0], FieldError)


def test_numbers_may_be_of_any_size() -> None:
    assert validate({"properties": {"n": {"type": "number"}}}, {"n": 10**300}) == []
    assert json.loads(json_text({"n": 10**300, "at": None})) == {"n": 10**300, "at": None}


def _doubling(times: int) -> dict[str, Any]:
    """A small schema whose check takes 2 ** `times` steps."""
    twice = {f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(times)}
    return {"properties": {"x": {"$ref": "#/$defs/d0"}}, "$defs": twice | {f"d{times}": {}}}


@pytest.mark.parametrize(
    ("schema", "value", "wrong"),
    [
        ({"properties": {"x": {"type": "string", "pattern": "^(a+)+$"}}}, "a" * 10_000 + "!", "x"),
        ({"properties": {"x": {"uniqueItems": True}}}, [{"n": n} for n in range(20_000)], ""),
        ({"properties": {"x": {"uniqueItems": True}}}, [{"n": 1, "m": 2}, {"m": 2, "n": 1}], "x"),
        (_doubling(40), 1, "parameters"),
    ],
    ids=["a pattern that looks back", "a long list", "a list with twins", "alternatives without end"],
)
def test_no_schema_keeps_the_server_busy(schema: dict[str, Any], value: Any, wrong: str) -> None:
    begun = time.thread_time()

    assert [error.field for error in validate(schema, {"x": value})] == ([wrong] if wrong else [])
    assert time.thread_time() - begun < 15


def test_names_may_be_given_by_a_pattern() -> None:
    schema = {
        "type": "object",
        "patternProperties": {"^a+$": {"type": "integer"}},
        "additionalProperties": False,
    }

    assert validate(schema, {"aa": 1}) == []
    assert [error.field for error in validate(schema, {"aa": "x"})] == ["aa"]
    assert len(validate(schema, {"b": 1})) == 1


def test_patterns_of_pydantic_may_be_deployed() -> None:
    assert schema_errors({"type": "string", "pattern": r"^\p{L}+$"}) == []
