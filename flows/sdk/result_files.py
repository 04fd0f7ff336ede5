"""The files of a result storage: of a folder, of a URL, or of a block that holds files."""

import inspect
import sys
from pathlib import Path
from time import monotonic
from typing import Any, Protocol, runtime_checkable

from flows.sdk import storage
from flows.sdk.steps import run_coroutine

REMEMBERED_SECONDS = 60.0  # how long a saved block may be used before it is read again


@runtime_checkable
class FileBlock(Protocol):
    """A block that holds files, such as LocalFileSystem."""

    def read_path(self, path: str) -> Any: ...

    def write_path(self, path: str, content: bytes) -> Any: ...


ResultStorage = str | Path | FileBlock


class Files(Protocol):
    """Files by name."""

    def read(self, name: str) -> bytes | None:
        """The content; None if there is no such file. Raises OSError."""
        ...

    def write(self, name: str, content: bytes) -> None:
        """Raises OSError."""
        ...


class FilesAt:
    """Those of a folder or URL."""

    def __init__(self, url: str) -> None:
        self._url = url

    def read(self, name: str) -> bytes | None:
        return storage.read(f"{self._url.rstrip('/')}/{name}")

    def write(self, name: str, content: bytes) -> None:
        storage.write(f"{self._url.rstrip('/')}/{name}", content)


class FilesOfBlock:
    """Those that a block holds, whose methods may be coroutine functions."""

    def __init__(self, block: FileBlock) -> None:
        self._block = block

    def read(self, name: str) -> bytes | None:
        try:
            content: bytes = _now(self._block.read_path(name))
        except (FileNotFoundError, ValueError):  # what Prefect's blocks raise for a missing file
            return None
        return content

    def write(self, name: str, content: bytes) -> None:
        _now(self._block.write_path(name, content))


def _now(answer: Any) -> Any:
    return run_coroutine(_awaited(answer)) if inspect.isawaitable(answer) else answer


async def _awaited(answer: Any) -> Any:
    return await answer


def checked_storage(given: Any) -> None:
    """Raise TypeError for what is neither a folder, nor a URL, nor a block that holds files."""
    if not isinstance(given, FileBlock):
        storage.storage_url(given)


def files_of(given: ResultStorage) -> Files:
    """The files of a storage, as options name it: a folder, a URL, a block, or "TYPE/NAME" of a saved one.

    Raises ValueError if there is no such block.
    """
    if not isinstance(given, str | Path):
        return FilesOfBlock(given)
    if isinstance(given, str) and (kind := _block_type(given)):
        return FilesOfBlock(_saved(kind, given))
    return FilesAt(storage.storage_url(given))


def _block_type(given: str) -> Any:
    """The class of the block that "TYPE/NAME" names; None if it is a folder after all."""
    slug, slash, name = given.partition("/")
    if not slash or "/" in name or not name:
        return None
    if slug in {"local-file-system", "remote-file-system"}:
        pass
    blocks = sys.modules.get("flows.sdk.blocks")  # a type of the user's own is defined if it was imported
    kind = blocks.block_type(slug) if blocks else None
    return kind if kind is not None and hasattr(kind, "write_path") else None


_known: dict[str, tuple[FileBlock, float]] = {}


def _saved(kind: Any, name: str) -> FileBlock:
    """The saved block: read once a minute, not for each task run."""
    block, until = _known.get(name, (None, 0.0))
    if block is None or until < monotonic():
        block = _now(kind.aload(name.partition("/")[2]))
        _known[name] = block, monotonic() + REMEMBERED_SECONDS
    return block
