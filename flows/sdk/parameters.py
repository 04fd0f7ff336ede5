"""Parameters of flows: bind a call, check and convert values, describe them as JSON Schema.

pydantic does the checking; it is imported when the first annotated parameter needs it.
"""

import inspect
import math
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, get_type_hints

if TYPE_CHECKING:
    from flows.sdk.validation import Checks

# The largest integer that JSON readers and databases agree about.
MOST_INTEGER = 2**63 - 1

_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


class ParameterTypeError(TypeError):
    """Parameters do not fit the function. The text has a line for each that is wrong."""


class Parameters:
    """The parameters of one function, by name."""

    def __init__(self, fn: Callable[..., Any], title: str) -> None:
        self._fn = fn
        self._title = title
        self.signature = inspect.signature(fn)
        fields = self.signature.parameters.values()
        self._named = {field.name: field for field in fields if field.kind not in _VARIADIC}
        self._extra = next((field.name for field in fields if field.kind is field.VAR_KEYWORD), None)
        self._rest = next((field.name for field in fields if field.kind is field.VAR_POSITIONAL), None)

    def of_call(self, args: Iterable[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """The values of a Python call by name, defaults included. Raises ParameterTypeError."""
        try:
            bound = self.signature.bind(*args, **kwargs)
        except TypeError as error:
            raise ParameterTypeError(f"{self._title} cannot be called like this: {error}.") from None
        values = dict(bound.arguments)
        extra = values.pop(self._extra, {}) if self._extra else {}
        return self.with_defaults({**values, **extra})

    def checked(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Converted values, defaults included. Raises ParameterTypeError that names each wrong one."""
        problems = [*self._unknown(values), *self._missing(values)]
        converted = dict(values)
        for name, check in self._checks.by_name.items() if self._checks else ():
            if name in values:
                converted[name] = check.convert(name, values[name], problems)
        if problems:
            lines = "\n".join(f"- {problem}" for problem in problems)
            raise ParameterTypeError(f"{self._title} got parameters that do not fit:\n{lines}")
        return self.with_defaults(converted)

    def as_call(self, values: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Values by name as positional and keyword arguments of a call."""
        known = {name: value for name, value in values.items() if name in self.signature.parameters}
        if self._extra:
            known[self._extra] = {n: v for n, v in values.items() if n not in self.signature.parameters}
        ordered = OrderedDict((name, known[name]) for name in self.signature.parameters if name in known)
        bound = inspect.BoundArguments(self.signature, ordered)
        return bound.args, bound.kwargs

    def schema(self) -> dict[str, Any]:
        """JSON Schema of the parameters as one object, in the form that Prefect's clients know."""
        described, definitions = self._checks.schemas() if self._checks else ({}, {})
        properties = {
            name: {"title": name, **described.get(name, {}), "position": position, **self._default_of(name)}
            for position, name in enumerate(self._named)
        }
        return {
            "title": "Parameters",
            "type": "object",
            "properties": properties,
            "required": [name for name in self._named if not self._is_optional(name)],
            "definitions": definitions,
            "additionalProperties": self._extra is not None,
        }

    @cached_property
    def _checks(self) -> "Checks | None":
        annotations = self._annotations()
        if not annotations:
            return None
        from flows.sdk.validation import Checks

        return Checks({name: (annotations[name], self._named[name].default) for name in annotations})

    def _annotations(self) -> dict[str, Any]:
        """Types of the parameters that have one; one that cannot be looked up is not checked."""
        try:
            hints = get_type_hints(self._fn, include_extras=True)
        except NameError:
            hints = {n: f.annotation for n, f in self._named.items() if not isinstance(f.annotation, str)}
        unannotated = (inspect.Parameter.empty, Any)
        return {name: hints[name] for name in self._named if hints.get(name, Any) not in unannotated}

    def _unknown(self, values: Mapping[str, Any]) -> list[str]:
        if self._extra:
            return []
        known = ", ".join(self._named) or "none"
        return [
            f"{name}: there is no such parameter (there are: {known})"
            for name in values
            if name not in self._named and name != self._rest
        ]

    def _missing(self, values: Mapping[str, Any]) -> list[str]:
        return [
            f"{name}: is required, but was not given"
            for name in self._named
            if name not in values and not self._is_optional(name)
        ]

    def _is_optional(self, name: str) -> bool:
        default = self._named[name].default
        if _is_field(default):
            return not default.is_required()
        return default is not inspect.Parameter.empty

    def with_defaults(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The values, and the defaults of those that were not given."""
        values = dict(given)
        for name, field in self._named.items():
            if name not in values and self._is_optional(name):
                default = field.default
                values[name] = (
                    default.get_default(call_default_factory=True) if _is_field(default) else default
                )
        return values

    def _default_of(self, name: str) -> dict[str, Any]:
        """The `default` entry of the parameter's schema, if it has a default that is JSON."""
        default = self._named[name].default
        if default is inspect.Parameter.empty or _is_field(default):
            return {}
        return {"default": as_json(default)}


def parameter_schema(fn: Callable[..., Any]) -> dict[str, Any]:
    """JSON Schema of a function's parameters, with constraints as given by `Field` or `Annotated`."""
    return Parameters(fn, f"Function {fn.__name__!r}").schema()


def as_json(value: Any) -> Any:
    """`value` as JSON can hold it; what JSON cannot hold becomes a short text. Never raises.

    The value is left as it is: an iterator is shown by its type, for looking into it would use it up.
    """
    try:
        return value if _is_json(value) else _to_json(value)
    except (RecursionError, TypeError, ValueError):  # it contains itself, or its own serialiser fails
        return _type_of(value)


def _is_json(value: Any) -> bool:
    kind = type(value)
    if value is None or kind is bool:
        return True
    if kind is int:
        return bool(-MOST_INTEGER <= value <= MOST_INTEGER)
    if kind is str:
        return bool((value.isascii() and "\0" not in value) or _shown(value) == value)
    if kind is float:
        return math.isfinite(value)
    if kind is dict:
        return all(type(key) is str and _is_json(key) and _is_json(item) for key, item in value.items())
    return kind is list and all(map(_is_json, value))


def _to_json(value: Any) -> Any:
    from pydantic_core import from_json, to_json

    return from_json(to_json(_plain(value), fallback=_type_of, inf_nan_mode="strings"))


def _plain(value: Any) -> Any:
    """`value` without what databases refuse inside JSON, and without iterators."""
    if isinstance(value, bool | float):
        return value
    if isinstance(value, int):
        return value if -MOST_INTEGER <= value <= MOST_INTEGER else str(value)
    if isinstance(value, str):
        return _shown(value)
    if isinstance(value, dict):
        return {_plain(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return _type_of(value) if hasattr(value, "__next__") else value


def _shown(text: str) -> str:
    """Text without NUL and lone surrogates, which are no text for PostgreSQL."""
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode("utf-8")


def _type_of(value: Any) -> str:
    return f"<{type(value).__name__}>"


def _is_field(default: Any) -> bool:
    """Whether the default was written with pydantic's `Field`; does not import pydantic."""
    kind = type(default)
    return kind.__name__ == "FieldInfo" and kind.__module__.startswith("pydantic.")
