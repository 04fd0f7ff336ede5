"""Checks of single parameters, by pydantic. Imported only when a parameter needs checking."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import ConfigDict, PydanticSchemaGenerationError, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode


class _Lenient(GenerateJsonSchema):
    """Describes what has no JSON form (a data frame, a client object) as "anything"."""

    ignored_warning_kinds = {"skipped-choice", "non-serializable-default"}

    def handle_invalid_for_json_schema(self, schema: Any, error_info: str) -> dict[str, Any]:
        return {}


class Check:
    """The check of one parameter."""

    def __init__(self, annotation: Any, default: Any) -> None:
        constrained: Any = Annotated[annotation, default] if isinstance(default, FieldInfo) else annotation
        try:
            self.adapter: TypeAdapter[Any] = TypeAdapter(constrained)
        except PydanticSchemaGenerationError:  # a type that pydantic does not know: check by isinstance
            self.adapter = TypeAdapter(constrained, config=ConfigDict(arbitrary_types_allowed=True))

    def convert(self, name: str, value: Any, problems: list[str]) -> Any:
        """The converted value; what is wrong with it is added to `problems`."""
        try:
            return self.adapter.validate_python(value)
        except ValidationError as error:
            for detail in error.errors(include_url=False, include_context=False):
                where = ".".join([name, *map(str, detail["loc"])])
                problems.append(f"{where}: {detail['msg']} (got {_short(detail['input'])})")
            return value


class Checks:
    """The checks of a function's parameters: name -> (annotation, default)."""

    def __init__(self, fields: Mapping[str, tuple[Any, Any]]) -> None:
        self.by_name = {name: Check(annotation, default) for name, (annotation, default) in fields.items()}

    def schemas(self) -> tuple[dict[str, dict[str, Any]], dict[str, Any]]:
        """JSON Schema of each parameter, and the definitions that they refer to."""
        mode: JsonSchemaMode = "validation"
        inputs = [(name, mode, check.adapter) for name, check in self.by_name.items()]
        schemas, shared = TypeAdapter.json_schemas(
            inputs, ref_template="#/definitions/{model}", schema_generator=_Lenient
        )
        by_name = {str(name): dict(schema) for (name, _), schema in schemas.items()}
        return by_name, dict(shared.get("$defs", {}))


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
