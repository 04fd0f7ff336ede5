"""Files of results: a folder, or any place that fsspec has a driver for (s3://, gs://, az://, ...)."""

import os
import re
from pathlib import Path
from typing import Any

from flows.sdk.ids import uuid7

Settings = dict[str, Any] | None


def storage_url(given: "str | Path") -> str:
    """A folder or URL in the form that is stored. Raises TypeError for anything else."""
    if isinstance(given, Path):
        return str(given.expanduser().absolute())
    if not isinstance(given, str) or not given:
        raise TypeError(
            f"Result storage is a folder or a URL such as s3://bucket/results, and was given as {given!r}."
        )
    given = given.removeprefix("file://")
    return given if "://" in given else storage_url(Path(given))


def file_name(key: str) -> str:
    """The name of the file with the result of `key`: a key that is no harmless path is hashed."""
    from hashlib import sha256

    harmless = re.fullmatch(r"[\w.=@ -]+(/[\w.=@ -]+)*", key) and ".." not in key and len(key) <= 200
    return key if harmless else sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def address(storage: str, key: str) -> str:
    """Where in `storage` the result of `key` lies."""
    return f"{storage.rstrip('/')}/{file_name(key)}"


def write(url: str, data: bytes, settings: Settings = None) -> None:
    """Make the file, with its folders. Nobody ever reads half of it. Raises OSError.

    `settings` are for fsspec's driver, such as credentials.
    """
    if "://" in url:
        filesystem, path = _remote(url, settings)
        filesystem.makedirs(filesystem._parent(path), exist_ok=True)
        filesystem.pipe_file(path, data)
        return
    file = Path(url)
    file.parent.mkdir(parents=True, exist_ok=True)
    unfinished = file.with_name(f".{uuid7()}")
    try:
        unfinished.write_bytes(data)
        unfinished.replace(file)
    finally:
        unfinished.unlink(missing_ok=True)


def read(url: str, settings: Settings = None) -> bytes | None:
    """The content; None if there is no such file. Raises OSError."""
    try:
        if "://" not in url:
            return Path(url).read_bytes()
        filesystem, path = _remote(url, settings)
        data: bytes = filesystem.cat_file(path)
    except FileNotFoundError:
        return None
    return data


def remove(url: str) -> None:
    """Delete the file, if it is there. Raises OSError."""
    if "://" not in url:
        Path(url).unlink(missing_ok=True)
        return
    filesystem, path = _remote(url)
    if filesystem.exists(path):
        filesystem.rm_file(path)


def default_folder() -> str:
    """`PORTAL_RESULT_STORAGE`; default: `results` in the data folder."""
    given = os.environ.get("PORTAL_RESULT_STORAGE")
    return storage_url(given or Path(os.environ.get("PORTAL_DATA_DIR", ".portal")) / "results")


def _remote(url: str, settings: Settings = None) -> tuple[Any, str]:
    try:
        import fsspec
    except ImportError as error:
        raise OSError(f"{url} needs fsspec: pip install fsspec") from error
    try:
        filesystem, path = fsspec.core.url_to_fs(url, **(settings or {}))
    except (ImportError, ValueError) as error:
        raise OSError(f"{url} cannot be reached: {error}") from error
    return filesystem, path
