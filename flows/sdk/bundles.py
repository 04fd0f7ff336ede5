"""Bundles: a folder of code, stored in Portal under the hash of its content."""

import gzip
import io
import os
import tarfile
from base64 import b64decode, b64encode
from collections.abc import Iterator
from fnmatch import fnmatch
from functools import partial
from hashlib import sha256
from pathlib import Path

from flows.sdk import portal
from flows.sdk.sources import SourceError, cache_folder, fetched, made_at_once
from flows.sdk.steps import drive

PREFIX = "bundle:"
MOST_BYTES = 32 * 1024 * 1024  # compressed: for code, not for data
MOST_UNPACKED_BYTES = 512 * 1024 * 1024
NEVER = [".git", ".hg", ".venv", "venv", "__pycache__", "node_modules", ".portal", ".env", "*.pyc"]
IGNORE_FILES = (".gitignore", ".portalignore")


def store(server: portal.Portal, path: str) -> str:
    """Store the folder (or the git repository's commit) at `path`; return the path `bundle:HASH`.

    Left out are files of version control, virtual environments and caches, and what the folder's own
    `.gitignore` and `.portalignore` name, each line as a simple pattern. Raises SourceError for a folder
    that is too large, and for a link that leads out of it.
    """
    data = packed(Path(fetched(path)))
    digest = sha256(data).hexdigest()
    body = {"sha256": digest, "content": b64encode(data).decode()}
    drive(portal.ask(lambda: server.post("bundles/", body)))
    return f"{PREFIX}{digest}"


def packed(folder: Path) -> bytes:
    """The folder as a tar.gz that depends on names, contents and permissions only. Raises SourceError."""
    buffer = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=buffer, mode="wb", mtime=0) as zipped,
        tarfile.open(fileobj=zipped, mode="w") as tar,
    ):
        for file in _files(folder):
            entry = tarfile.TarInfo(str(file.relative_to(folder)))
            entry.size, entry.mode = file.stat().st_size, 0o755 if os.access(file, os.X_OK) else 0o644
            with file.open("rb") as content:
                tar.addfile(entry, content)
            if buffer.tell() > MOST_BYTES:
                break
    if buffer.tell() > MOST_BYTES:
        raise SourceError(
            f"{folder} is too large for a bundle: more than {MOST_BYTES // 1024**2} MiB compressed. "
            "Name what does not belong to the code in a file .portalignore."
        )
    return buffer.getvalue()


def _files(folder: Path) -> Iterator[Path]:
    ignored = [*NEVER, *_patterns(folder)]
    for place, folders, names in os.walk(folder):
        here = Path(place)
        folders[:] = sorted(name for name in folders if not _is_ignored(here / name, folder, ignored))
        for name in sorted(names):
            if not _is_ignored(here / name, folder, ignored) and (here / name).is_file():
                yield _within(here / name, folder)


def _patterns(folder: Path) -> list[str]:
    files = [folder / name for name in IGNORE_FILES]
    lines = [line.strip() for file in files if file.is_file() for line in file.read_text().splitlines()]
    return [line.strip("/") for line in lines if line and not line.startswith(("#", "!"))]


def _is_ignored(path: Path, folder: Path, patterns: list[str]) -> bool:
    relative = str(path.relative_to(folder))
    return any(fnmatch(path.name, pattern) or fnmatch(relative, pattern) for pattern in patterns)


def _within(file: Path, folder: Path) -> Path:
    if not file.resolve().is_relative_to(folder.resolve()):
        raise SourceError(f"{file} is a link that leads out of {folder}, so it is not stored.")
    return file


def unpacked(path: str) -> str:
    """The folder with the code of `bundle:HASH`, fetched from Portal the first time. Raises SourceError."""
    digest = path.removeprefix(PREFIX)
    if len(digest) != 64 or not digest.isalnum():
        raise SourceError(f"{path!r} is no bundle.")
    folder = cache_folder("bundles") / digest
    if not folder.is_dir():
        server = portal.needed("A bundle")
        answer = drive(portal.ask(lambda: server.get(f"bundles/{digest}")))
        made_at_once(folder, partial(_unpack, b64decode(answer["content"]), digest))
    return str(folder)


def _unpack(data: bytes, digest: str, folder: Path) -> None:
    if sha256(data).hexdigest() != digest:
        raise SourceError(f"What is stored as bundle {digest} is something else.")
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:gz") as tar:
        if sum(member.size for member in tar) > MOST_UNPACKED_BYTES:
            raise SourceError(f"Bundle {digest} is larger than {MOST_UNPACKED_BYTES // 1024**2} MiB.")
        try:
            tar.extractall(folder, filter="data")  # refuses links and paths that lead out of the folder
        except tarfile.FilterError as error:
            raise SourceError(f"Bundle {digest} cannot be unpacked: {error}") from error
