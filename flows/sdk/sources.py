"""Where code comes from: a folder, or a git repository that is cloned, once for each commit."""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Self

PREFIX = "git+"
PROTOCOLS = "https:ssh:file"
# https://, ssh:// and file:// addresses, and ssh's short form: git@host:path.
_ADDRESS = re.compile(r"(https|ssh|file)://[^-].*|[A-Za-z0-9._]+@[A-Za-z0-9.-]+:[^-].*")
_BRANCH = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._/-]*")
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
CLONE_SECONDS = 300


class SourceError(ValueError):
    """The code cannot be fetched. The text says from where and why."""


@dataclass(frozen=True, slots=True)
class GitRepository:
    """A git repository: its address (https, ssh or file) and a branch or tag (default: the remote's HEAD).

    Raises SourceError for other protocols: git's own would run commands (`ext::`) or send code unencrypted.
    """

    url: str
    branch: str | None = None

    def __post_init__(self) -> None:
        if not _ADDRESS.fullmatch(self.url):
            raise SourceError(f"{self.url!r} is no git address that is allowed: use https, ssh or file.")
        if self.branch is not None and not _BRANCH.fullmatch(self.branch):
            raise SourceError(f"{self.branch!r} is no name of a branch or tag.")

    @classmethod
    def parse(cls, path: str) -> Self:
        """The repository in `git+URL` or `git+URL#BRANCH`."""
        url, _, branch = path.removeprefix(PREFIX).partition("#")
        return cls(url, branch or None)

    def __str__(self) -> str:
        return f"{PREFIX}{self.url}" + (f"#{self.branch}" if self.branch else "")

    def fetch(self) -> Path:
        """The folder with the newest commit of the branch. Raises SourceError."""
        commit = self._newest_commit()
        folder = cache_folder("git", sha256(self.url.encode()).hexdigest()[:12]) / commit
        if not folder.is_dir():
            made_at_once(folder, self._clone)
        return folder

    def _newest_commit(self) -> str:
        listed = _git("ls-remote", "--", self.url, self.branch or "HEAD").split()
        if not listed or not _COMMIT.fullmatch(listed[0]):
            raise SourceError(f"There is no branch or tag {self.branch!r} in {self.url}.")
        return listed[0]

    def _clone(self, folder: Path) -> None:
        branch = ["--branch", self.branch] if self.branch else []
        _git("clone", "--quiet", "--depth", "1", *branch, "--", self.url, str(folder))


def cache_folder(*parts: str) -> Path:
    """A folder for what can be fetched again: below PORTAL_CACHE_DIR, default `~/.cache/portal`."""
    base = os.environ.get("PORTAL_CACHE_DIR") or "~/.cache/portal"
    folder = Path(base).expanduser().joinpath(*parts)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder


def made_at_once(folder: Path, make: Callable[[Path], object]) -> None:
    """Have `make` fill a folder beside `folder`, and rename it: nobody sees half of it."""
    with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
        fresh = Path(temporary) / "fresh"
        make(fresh)
        try:
            fresh.rename(folder)
        except OSError:  # another process was quicker: its folder holds the same
            if not folder.is_dir():
                raise


def _git(*arguments: str) -> str:
    """Run git, which asks nobody for a password and follows only the allowed protocols."""
    if shutil.which("git") is None:
        raise SourceError("git is not installed here, but the flow's code is in a git repository.")
    environment = {**os.environ, "GIT_TERMINAL_PROMPT": "0", "GIT_ALLOW_PROTOCOL": PROTOCOLS}
    try:
        done = subprocess.run(
            ["git", *arguments], capture_output=True, text=True, env=environment, timeout=CLONE_SECONDS
        )
    except subprocess.TimeoutExpired as error:
        raise SourceError(f"git {arguments[0]} took longer than {CLONE_SECONDS} s.") from error
    if done.returncode:
        raise SourceError(f"git {arguments[0]} failed: {done.stderr.strip()}")
    return done.stdout


def fetched(path: str) -> str:
    """The folder that `path` names: itself, or for `git+URL[#BRANCH]` a clone of its newest
    commit, for `bundle:HASH` the code that is stored in Portal. Raises SourceError."""
    if path.startswith("bundle:"):
        from flows.sdk.bundles import unpacked

        return unpacked(path)
    return str(GitRepository.parse(path).fetch()) if path.startswith(PREFIX) else path
