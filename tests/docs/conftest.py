"""A real server for the snippets that need one."""

from tests.scripts.conftest import server

__all__ = ["server"]
