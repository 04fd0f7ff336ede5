"""Serializers: how results become bytes. Named "json", "pickle", "compressed/json", "compressed/pickle"."""

import importlib
import json
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol, runtime_checkable

_SIMPLE = frozenset({int, float, str, bool, bytes, type(None)})


class SerializationError(ValueError):
    """A result cannot be turned into bytes, or bytes into a result. The text says why."""


@runtime_checkable
class Serializer(Protocol):
    """Turns results into bytes and back. `type` names it in what is stored."""

    @property
    def type(self) -> str: ...

    def dumps(self, obj: Any) -> bytes: ...

    def loads(self, blob: bytes) -> Any: ...


@dataclass(frozen=True, slots=True)
class PickleSerializer:
    """Any Python object, functions and classes of the main script included."""

    type: ClassVar[str] = "pickle"

    def dumps(self, obj: Any) -> bytes:
        if type(obj) in _SIMPLE:
            import pickle

            return pickle.dumps(obj, pickle.HIGHEST_PROTOCOL)  # the same bytes in a tenth of the time
        import cloudpickle

        data: bytes = cloudpickle.dumps(obj)
        return data

    def loads(self, blob: bytes) -> Any:
        """Only what was signed comes here: a pickle is code."""
        import cloudpickle

        return cloudpickle.loads(blob)


@dataclass(frozen=True, slots=True)
class JSONSerializer:
    """JSON; objects that pydantic knows (models, data classes, dates, ...) come back as what they were."""

    type: ClassVar[str] = "json"

    def dumps(self, obj: Any) -> bytes:
        return json.dumps(obj, default=_as_json).encode()

    def loads(self, blob: bytes) -> Any:
        return json.loads(blob, object_hook=_as_object)


@dataclass(frozen=True, slots=True)
class CompressedSerializer:
    """What another serializer makes, compressed by `compressionlib`: "lzma", "zlib", "gzip" or "bz2"."""

    serializer: Any = field(default_factory=PickleSerializer)
    compressionlib: str = "lzma"

    def __post_init__(self) -> None:
        object.__setattr__(self, "serializer", serializer_of(self.serializer))
        if self.compressionlib not in {"lzma", "zlib", "gzip", "bz2"}:
            raise ValueError(f"compressionlib must be lzma, zlib, gzip or bz2, not {self.compressionlib!r}.")

    @property
    def type(self) -> str:
        return f"compressed/{self.serializer.type}"

    def dumps(self, obj: Any) -> bytes:
        data: bytes = importlib.import_module(self.compressionlib).compress(self.serializer.dumps(obj))
        return data

    def loads(self, blob: bytes) -> Any:
        return self.serializer.loads(importlib.import_module(self.compressionlib).decompress(blob))


_plain: dict[str, type[PickleSerializer] | type[JSONSerializer]] = {
    "pickle": PickleSerializer,
    "json": JSONSerializer,
}


def CompressedJSONSerializer() -> CompressedSerializer:
    """JSON, compressed."""
    return CompressedSerializer(JSONSerializer())


def CompressedPickleSerializer() -> CompressedSerializer:
    """Pickles, compressed."""
    return CompressedSerializer(PickleSerializer())


def serializer_of(given: "Serializer | str | None") -> Serializer:
    """The serializer itself, or the one of this name; None: pickle. Raises ValueError, TypeError."""
    if given is None:
        return PickleSerializer()
    if isinstance(given, str):
        outer, _, inner = given.rpartition("/")
        plain = _plain.get(inner)
        if plain is None or outer not in {"", "compressed"}:
            raise ValueError(
                f"There is no serializer {given!r}. Take json, pickle, compressed/json or compressed/pickle."
            )
        return CompressedSerializer(plain()) if outer else plain()
    if isinstance(given, Serializer):
        return given
    raise TypeError(f"A serializer has `type`, `dumps` and `loads`; {given!r} does not.")


def _as_json(obj: Any) -> dict[str, Any]:
    from pydantic import TypeAdapter

    kind = type(obj)
    name = f"{kind.__module__}:{kind.__qualname__}"
    if isinstance(obj, BaseException):
        return {"__exception__": name, "message": str(obj)}
    try:
        return {"__class__": name, "data": TypeAdapter(kind).dump_python(obj, mode="json")}
    except Exception as error:
        raise TypeError(f"{kind.__name__} is not JSON ({error})") from error


def _as_object(found: dict[str, Any]) -> Any:
    if found.keys() == {"__class__", "data"}:
        from pydantic import TypeAdapter

        return TypeAdapter(_class_of(found["__class__"])).validate_python(found["data"])
    if found.keys() == {"__exception__", "message"}:
        return _class_of(found["__exception__"])(found["message"])
    return found


def _class_of(name: str) -> Any:
    module, _, path = name.partition(":")
    found: Any = importlib.import_module(module)
    for part in path.split("."):
        found = getattr(found, part)
    return found
