"""Parameters: conversion, messages, JSON Schema."""

from datetime import date
from enum import Enum
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field

from flows import flow
from flows.sdk.memory import MemoryRecorder
from flows.sdk.parameters import ParameterTypeError, as_json, parameter_schema


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Window(BaseModel):
    start: date
    days: int = 7


class Frame:
    """A type that pydantic does not know."""


FRAME = Frame()


def properties(fn: Any) -> dict[str, Any]:
    found: dict[str, Any] = parameter_schema(fn)["properties"]
    return found


def test_values_are_converted_as_annotated() -> None:
    @flow
    def work(number: int, window: Window, colour: Colour, names: list[str]) -> tuple[Any, ...]:
        return number, window.start, colour, names

    given: Any = {"number": "5", "window": {"start": "2024-02-29"}, "colour": "red", "names": ("a",)}
    assert work(**given) == (5, date(2024, 2, 29), Colour.RED, ["a"])


def test_values_without_annotation_pass() -> None:
    thing = object()
    assert flow(lambda given: given is thing, name="work")(thing)


def test_a_value_of_an_unknown_type_is_checked_by_isinstance() -> None:
    @flow
    def work(frame: Frame) -> str:
        return type(frame).__name__

    assert work(Frame()) == "Frame"
    with pytest.raises(ParameterTypeError, match=r"- frame: Input should be an instance of Frame \(got 3\)"):
        work(3)


def test_each_wrong_value_has_a_line() -> None:
    @flow
    def work(year: int, window: Window) -> None: ...

    with pytest.raises(ParameterTypeError) as raised:
        work("soon", {"start": "2024-02-29", "days": "few"})
    first, *lines = str(raised.value).splitlines()
    assert first == "Flow 'work' got parameters that do not fit:"
    assert [line.partition(" Input")[0] for line in lines] == ["- year:", "- window.days:"]


def test_a_call_that_does_not_bind_says_why_and_begins_no_run(recorder: MemoryRecorder) -> None:
    @flow
    def work(year: int) -> None: ...

    with pytest.raises(ParameterTypeError, match=r"'work' cannot be called like this: missing .* 'year'"):
        work()
    assert not recorder.flow_runs


def test_constraints_of_field_defaults_hold_and_the_default_counts() -> None:
    @flow
    def work(months: int = Field(12, ge=1)) -> int:
        return months

    assert work() == 12
    with pytest.raises(ParameterTypeError, match="greater than or equal to 1"):
        work(0)


def test_extra_keywords_and_positions_are_passed_on() -> None:
    @flow
    def work(first: int, *rest: int, **options: str) -> tuple[Any, ...]:
        return first, rest, options

    assert work(1, 2, 3, colour="red") == (1, (2, 3), {"colour": "red"})


def test_parameters_may_have_names_that_pydantic_keeps_for_itself() -> None:
    @flow
    def work(model_config: int, schema: int, _hidden: int = 3) -> int:
        return model_config + schema + _hidden

    assert work(1, 2) == 6


def test_the_schema_tells_types_defaults_positions_and_what_is_required() -> None:
    def work(year: int, colour: Colour = Colour.RED, note: str | None = None) -> None: ...

    schema = parameter_schema(work)
    assert (schema["type"], schema["required"]) == ("object", ["year"])
    year, colour, note = schema["properties"].values()
    assert year == {"title": "year", "type": "integer", "position": 0}
    assert (colour["default"], colour["$ref"]) == ("red", "#/definitions/Colour")
    assert schema["definitions"]["Colour"]["enum"] == ["red", "blue"]
    assert note["default"] is None and note["position"] == 2


def test_the_schema_keeps_annotated_constraints() -> None:
    def work(months: Annotated[int, Field(ge=1, le=12, description="months")]) -> None: ...

    assert properties(work)["months"] == {
        "title": "months",
        "type": "integer",
        "minimum": 1,
        "maximum": 12,
        "description": "months",
        "position": 0,
    }


def test_the_schema_keeps_constraints_of_field_defaults() -> None:
    def work(months: int = Field(12, ge=1)) -> None: ...

    schema = parameter_schema(work)
    assert schema["properties"]["months"] == {
        "title": "months",
        "type": "integer",
        "minimum": 1,
        "default": 12,
        "position": 0,
    }
    assert schema["required"] == []


def test_models_are_described_in_the_definitions() -> None:
    def work(window: Window, unit: Literal["day", "week"] = "day") -> None: ...

    schema = parameter_schema(work)
    assert schema["properties"]["window"]["$ref"] == "#/definitions/Window"
    assert schema["definitions"]["Window"]["required"] == ["start"]
    assert schema["properties"]["unit"]["enum"] == ["day", "week"]


def test_what_json_cannot_describe_may_be_anything() -> None:
    def work(frame: Frame, anything, default=FRAME): ...

    found = properties(work)
    assert found["frame"] == {"title": "frame", "position": 0}
    assert found["anything"] == {"title": "anything", "position": 1}
    assert found["default"]["default"] == "<Frame>"


def test_parameters_of_a_run_are_stored_as_json(recorder: MemoryRecorder) -> None:
    @flow
    def work(day: date, value: Any) -> None: ...

    work(date(2024, 2, 29), float("nan"))
    assert recorder.flow_runs[0].parameters == {"day": "2024-02-29", "value": "NaN"}


def test_json_values_are_not_copied() -> None:
    value = {"rows": [1, 2.5, None, "x"]}
    assert as_json(value) is value
