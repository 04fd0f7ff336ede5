"""What an agent does once, so that no run pays for it: forked horses find it done."""

import gc
import importlib
from collections.abc import Iterable

from flows.sdk.names import random_name


class PreloadError(ImportError):
    """A module of AGENT_PRELOAD cannot be imported. The text says which and why."""


def warm_up(modules: Iterable[str]) -> None:
    """Import `modules`, and keep the pages of what is there shared between parent and horses.

    Raises PreloadError.
    """
    gc.disable()  # what is loaded stays: to look through it again and again only takes time
    try:
        _load(modules)
    finally:
        gc.enable()
    _wake_pydantic()
    random_name()  # the words of run names take 80 ms to load
    gc.collect()
    gc.freeze()  # a collection in a horse would write to every object, and copy every page


def _load(modules: Iterable[str]) -> None:
    for module in modules:
        try:
            importlib.import_module(module)
        except ImportError as error:
            raise PreloadError(f"AGENT_PRELOAD: cannot import '{module}': {error}") from error


def _wake_pydantic() -> None:
    """The first schema of a process looks for plugins among all installed packages: 7 ms."""
    from pydantic import TypeAdapter

    TypeAdapter(int)
