"""The form that starts a run: made from the flow's schema, as strict as the API."""

from datetime import UTC, datetime
from typing import Any

import pytest
from django.test import Client

from flows.models import Deployment
from portal.pages.parameter_form import PREFIX, ParameterForm
from runs.models import FlowRun
from tests.factories import make_deployment

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "size": {"$ref": "#/definitions/Size", "position": 5},
        "year": {"type": "integer", "minimum": 1900, "maximum": 2100, "position": 0},
        "ratio": {"type": "number", "default": 0.5, "position": 1},
        "city": {"type": "string", "maxLength": 10, "default": "Seattle", "position": 2},
        "dry": {"type": "boolean", "default": True, "position": 3},
        "day": {"anyOf": [{"type": "string", "format": "date"}, {"type": "null"}], "position": 4},
        "codes": {"type": "array", "items": {"type": "integer"}, "default": [1], "position": 6},
    },
    "required": ["year"],
    "definitions": {"Size": {"enum": ["small", 1, "1"], "title": "Size"}},
}
GOOD = {"year": "1962", "ratio": "0.5", "city": "Seattle", "dry": "on", "codes": "[1]"}


def form(
    schema: dict[str, Any] = SCHEMA, defaults: dict[str, Any] | None = None, **given: str
) -> ParameterForm:
    return ParameterForm(schema, defaults or {}, {PREFIX + name: value for name, value in given.items()})


def errors_of(**given: str) -> dict[str, str]:
    filled = form(**{**GOOD, **given})
    return {name.removeprefix(PREFIX): texts[0] for name, texts in filled.errors.items()}


def test_fields_stand_in_the_order_of_the_signature() -> None:
    names = [field.label for field in form().parameter_fields()]

    assert names == ["year", "ratio", "city", "dry", "day", "size", "codes"]


def test_what_is_given_becomes_json() -> None:
    filled = form(**GOOD, day="2012-01-31", size="1")

    assert filled.is_valid(), filled.errors
    assert filled.parameters() == {
        "year": 1962, "ratio": 0.5, "city": "Seattle", "dry": True, "day": "2012-01-31",
        "size": 1, "codes": [1],
    }  # fmt: skip


def test_an_empty_optional_field_is_left_to_the_flow() -> None:
    filled = form(year="1962")

    assert filled.is_valid(), filled.errors
    assert filled.parameters() == {"year": 1962, "dry": False}


def test_a_required_parameter_may_come_from_the_deployment() -> None:
    filled = form(defaults={"year": 2000})

    assert filled.is_valid(), filled.errors
    assert form().errors == {f"{PREFIX}year": ["This field is required."]}


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"year": "1800"}, "greater than or equal to 1900"),
        ({"year": "x"}, "whole number"),
        ({"ratio": "nan"}, "Enter a number"),
        ({"city": "x" * 11}, "at most 10 characters"),
        ({"day": "2012-02-31"}, "valid date"),
        ({"size": '"large"'}, "valid choice"),
        ({"codes": "[1"}, "valid JSON"),
        ({"codes": '["x"]'}, "codes.0: 'x' is not of type 'integer'"),
    ],
)
def test_what_does_not_fit_is_said_at_its_field(given: dict[str, str], text: str) -> None:
    errors = errors_of(**given)

    assert list(errors) == list(given)
    assert text in next(iter(errors.values()))


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"properties": {"x": {}}},
        {"properties": {"x": {"$ref": "#/definitions/missing"}}},
        {"properties": {"x": {"$ref": "#/definitions/X"}}, "definitions": {"X": {"$ref": "#/definitions/X"}}},
        {"properties": {"x": {"anyOf": [{"type": "integer"}, {"type": "string"}]}}},
        {"properties": {"x": {"type": ["integer", "null"]}}},
    ],
)
def test_any_schema_makes_a_form(schema: dict[str, Any]) -> None:
    assert "parameter-x" in str(form(schema)) or not schema


@pytest.mark.django_db
def test_a_run_is_made_and_shown(superuser: Client, deployment: Deployment) -> None:
    url = f"/admin/flows/deployment/{deployment.id}/run/"

    answer = superuser.post(url, {"parameter-year": "1962", "run_name": "mine"})

    run = FlowRun.objects.get()
    assert answer["Location"] == f"/admin/runs/flowrun/{run.id}/"
    assert (run.name, run.parameters, run.deployment_id) == ("mine", {"year": 1962}, deployment.id)
    assert run.created_by["display_value"] == "root"
    assert superuser.get(answer["Location"]).status_code == 200


@pytest.mark.django_db
def test_a_run_may_be_due_later(superuser: Client, deployment: Deployment) -> None:
    data = {"parameter-year": "1962", "scheduled_time": "2031-05-17 06:00"}

    superuser.post(f"/admin/flows/deployment/{deployment.id}/run/", data)

    assert FlowRun.objects.get().expected_start_time == datetime(2031, 5, 17, 6, tzinfo=UTC)


@pytest.mark.django_db
def test_a_bad_value_starts_nothing_and_is_kept(superuser: Client, deployment: Deployment) -> None:
    url = f"/admin/flows/deployment/{deployment.id}/run/"

    page = superuser.post(url, {"parameter-year": "3000"}).content.decode()

    assert "less than or equal to 2100" in page
    assert 'value="3000"' in page
    assert FlowRun.objects.count() == 0


@pytest.mark.django_db
def test_text_that_cannot_be_stored_is_said_at_its_field(superuser: Client) -> None:
    schema = {"type": "object", "properties": {"names": {"type": "array"}}}
    deployment = make_deployment(parameter_openapi_schema=schema)

    page = superuser.post(
        f"/admin/flows/deployment/{deployment.id}/run/", {"parameter-names": '["\\u0000"]'}
    ).content.decode()

    assert "NUL" in page
    assert FlowRun.objects.count() == 0
