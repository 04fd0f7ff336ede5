"""How results become bytes."""

from flows.sdk.serializers import CompressedSerializer, JSONSerializer, PickleSerializer, Serializer

__all__ = ["CompressedSerializer", "JSONSerializer", "PickleSerializer", "Serializer"]
