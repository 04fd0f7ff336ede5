"""The server's check of parameters: by the schema alone, without running or fetching anything."""

from typing import Any

import pytest

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


@pytest.mark.parametrize(("pattern", "wrong"), [("^a+$", 1), (r"^\p{L}+$", 0)], ids=["known", "foreign"])
def test_a_pattern_that_python_cannot_read_is_left_to_the_flow(pattern: str, wrong: int) -> None:
    assert len(validate({"properties": {"x": {"type": "string", "pattern": pattern}}}, {"x": "7"})) == wrong


def test_what_cannot_be_stored_is_said_before_it_is_tried() -> None:
    assert [error.field for error in validate({}, {"n": 2**64})] == ["parameters"]
    assert "512 KiB" in validate({}, {"text": "x" * 600_000})[0].message


def test_a_bad_schema_is_found_when_it_is_deployed() -> None:
    assert schema_errors({"type": "object"}) == []
    assert [error.field for error in schema_errors({"type": 7})] == ["parameter_openapi_schema"]
    assert isinstance(schema_errors({"required": "x"})[0], FieldError)
