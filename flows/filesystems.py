"""Blocks that hold files: `result_storage=LocalFileSystem(basepath="/srv/results")`."""

from flows.sdk.filesystems import LocalFileSystem, RemoteFileSystem, WritableFileSystem

__all__ = ["LocalFileSystem", "RemoteFileSystem", "WritableFileSystem"]
