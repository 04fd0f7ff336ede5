"""Hashes of Python values that are the same in every process."""

import json
from typing import Any


class HashError(ValueError):
    """A value has no stable hash: it cannot be serialised."""


_json = json.JSONEncoder(sort_keys=True, separators=(",", ":"))


def hash_objects(*objects: Any) -> str:
    """32 hexadecimal digits that depend on the values of `objects` alone. Raises HashError.

    By JSON where that can express them, else by pickle, which is fed to the hash piece by piece.
    """
    from hashlib import blake2s

    try:
        text = _json.encode(objects).encode("utf-8", "surrogatepass")
    except (TypeError, ValueError, RecursionError):
        return _hash_of_pickle(objects)
    return blake2s(text, digest_size=16).hexdigest()


class _Digest:
    """A file that keeps the hash of what is written to it."""

    def __init__(self) -> None:
        from hashlib import blake2s

        self.hash = blake2s(b"pickle", digest_size=16)

    def write(self, data: Any) -> int:
        self.hash.update(data)
        return len(data)


def _hash_of_pickle(objects: tuple[Any, ...]) -> str:
    try:
        return _dumped(objects, by_value=True)
    except Exception as error:
        first = error
    try:
        return _dumped(objects, by_value=False)  # they hold themselves
    except Exception:
        raise HashError(f"the inputs cannot be hashed: {first}") from first


def _dumped(objects: tuple[Any, ...], by_value: bool) -> str:
    """`by_value`: two equal texts count the same, whether or not they are one object in memory."""
    import cloudpickle

    digest = _Digest()
    pickler = cloudpickle.Pickler(digest, protocol=5)
    pickler.fast = by_value
    pickler.dump(objects)
    return digest.hash.hexdigest()
