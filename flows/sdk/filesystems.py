"""Blocks that hold files: where results may be kept, by a saved block or by its name. Brings pydantic."""

from pathlib import Path
from typing import Any

from pydantic import Field, field_validator

from flows.sdk import storage
from flows.sdk.blocks import Block
from flows.sdk.calling import asked, either
from flows.sdk.steps import drive_async


class WritableFileSystem(Block):
    """Base of blocks that keep files: subclasses say how to read and write one (sync or async)."""

    def read_path(self, path: str) -> Any:
        """The content, bytes. Raises FileNotFoundError (or ValueError) if there is no such file."""
        raise NotImplementedError

    def write_path(self, path: str, content: bytes) -> Any:
        """Make the file, or replace it. Raises OSError."""
        raise NotImplementedError


class LocalFileSystem(WritableFileSystem):
    """Files in a folder that every agent finds at `basepath`; default: the working folder."""

    basepath: str | None = None

    def read_path(self, path: str) -> Any:
        return either(asked(self._read, path))

    async def aread_path(self, path: str) -> bytes:
        """As `read_path`."""
        found: bytes = await drive_async(asked(self._read, path))
        return found

    def write_path(self, path: str, content: bytes) -> Any:
        return either(asked(self._write, path, content))

    async def awrite_path(self, path: str, content: bytes) -> str:
        """As `write_path`."""
        written: str = await drive_async(asked(self._write, path, content))
        return written

    def _read(self, path: str) -> bytes:
        return self._file(path).read_bytes()

    def _write(self, path: str, content: bytes) -> str:
        file = self._file(path)
        storage.write(str(file), content)
        return str(file)

    def _file(self, path: str) -> Path:
        folder = Path(self.basepath or ".").expanduser().resolve()
        file = (folder / path).resolve()
        if not file.is_relative_to(folder):
            raise ValueError(f"{path!r} leads out of {folder}.")
        return file


class RemoteFileSystem(WritableFileSystem):
    """Files at a URL that fsspec has a driver for, such as "s3://bucket/results"; `settings` go to it."""

    basepath: str
    settings: dict[str, Any] = Field(default_factory=dict)

    @field_validator("basepath")
    @classmethod
    def check_basepath(cls, value: str) -> str:
        if "://" not in value or value.startswith("file://"):
            raise ValueError("basepath is a URL such as s3://bucket/results; for folders use LocalFileSystem")
        return value

    def read_path(self, path: str) -> Any:
        return either(asked(self._read, path))

    async def aread_path(self, path: str) -> bytes:
        """As `read_path`."""
        found: bytes = await drive_async(asked(self._read, path))
        return found

    def write_path(self, path: str, content: bytes) -> Any:
        return either(asked(self._write, path, content))

    async def awrite_path(self, path: str, content: bytes) -> str:
        """As `write_path`."""
        written: str = await drive_async(asked(self._write, path, content))
        return written

    def _read(self, path: str) -> bytes:
        content = storage.read(self._url(path), self.settings)
        if content is None:
            raise FileNotFoundError(self._url(path))
        return content

    def _write(self, path: str, content: bytes) -> str:
        storage.write(self._url(path), content, self.settings)
        return self._url(path)

    def _url(self, path: str) -> str:
        return f"{self.basepath.rstrip('/')}/{path}"
