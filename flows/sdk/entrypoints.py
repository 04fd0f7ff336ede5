"""Entrypoints: from `path/file.py:flow` or `package.module:flow` to the flow.

Runs the user's code, so only agents and command-line tools load entrypoints. Needs no Django.
"""

import importlib
import importlib.util
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2s
from pathlib import Path
from types import ModuleType
from typing import Any

import flows
from flows.sdk.flows import Flow
from flows.sdk.sources import SourceError, fetched


class EntrypointError(ValueError):
    """The entrypoint leads to no flow. The text says why and what to do."""


def load_flow(entrypoint: str, path: str = "") -> Flow[Any, Any]:
    """The flow at `file.py:flow` (relative to the folder `path`, or `git+URL`) or `package.module:flow`.

    The folder goes to the end of `sys.path`, so that it hides nothing. Raises EntrypointError.
    """
    target, _, name = entrypoint.rpartition(":")
    if not target or not name:
        raise EntrypointError(
            f"{entrypoint!r} is no entrypoint. Write FILE:FLOW such as flows/etl.py:etl, "
            "or MODULE:FLOW such as project.etl:etl."
        )
    try:
        folder = Path(fetched(path)).expanduser().resolve() if path else Path.cwd()
    except SourceError as error:
        raise EntrypointError(str(error)) from error
    _append_to_sys_path(folder)
    module = _module_of_file(folder, target) if target.endswith(".py") else _module_of_name(target)
    return _flow_of(module, name, target)


def _append_to_sys_path(folder: Path) -> None:
    if str(folder) not in sys.path:
        sys.path.append(str(folder))


def _module_of_file(folder: Path, target: str) -> ModuleType:
    """The file as a module of its own name, found under it again by pickle; loaded afresh each time."""
    file = (folder / target).resolve()
    if not file.is_file():
        raise EntrypointError(f"There is no file {target!r} in {folder}.")
    name = f"flows_entrypoint_{file.stem}_{blake2s(str(file).encode(), digest_size=6).hexdigest()}"
    _refuse_foreign_flows(file, target)
    _append_to_sys_path(file.parent)
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise EntrypointError(f"{file} is not a Python file.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    with _failures_explained(target):
        spec.loader.exec_module(module)
    return module


def _refuse_foreign_flows(file: Path, target: str) -> None:
    own = Path(flows.__file__).resolve().parent
    for folder in file.parents:
        if not (folder / "__init__.py").is_file():
            return
        if folder.name == "flows" and folder != own:
            raise EntrypointError(
                f"{target} lies in a package of the name `flows`, which is Portal's own: its modules "
                f"could not import each other. Rename {folder}, or remove its __init__.py."
            )


def _module_of_name(target: str) -> ModuleType:
    if target.partition(".")[0] == "flows":
        raise EntrypointError(
            f"{target!r} would be looked for in the package `flows`, which is Portal's own. "
            f"Name the file instead, {target.replace('.', '/')}.py, or rename your folder."
        )
    with _failures_explained(target):
        return importlib.import_module(target)


@contextmanager
def _failures_explained(target: str) -> Iterator[None]:
    """Turn what goes wrong while user code is imported into an EntrypointError."""
    try:
        yield
    except SystemExit as error:
        raise EntrypointError(f"{target} called sys.exit({error.code!r}) while it was imported.") from error
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if target == missing or target.startswith(f"{missing}."):
            where = ", ".join(filter(None, sys.path))
            raise EntrypointError(
                f"There is no module {missing!r}. It was looked for in: {where}."
            ) from error
        raise EntrypointError(f"{target} could not be imported.\n{_own_traceback(error)}") from error
    except Exception as error:
        raise EntrypointError(f"{target} could not be imported.\n{_own_traceback(error)}") from error


def _flow_of(module: ModuleType, name: str, target: str) -> Flow[Any, Any]:
    found: Any = module
    for part in name.split("."):
        found = getattr(found, part, None)
    if isinstance(found, Flow):
        return found
    there = [attribute for attribute, value in vars(module).items() if isinstance(value, Flow)]
    hint = f"Flows there are: {', '.join(there)}." if there else "There are no flows in it."
    if found is None:
        raise EntrypointError(f"There is no {name!r} in {target}. {hint}")
    raise EntrypointError(
        f"{name!r} in {target} is a {type(found).__name__}, not a flow: put @flow before it. {hint}"
    )


def _own_traceback(error: Exception) -> str:
    """The traceback from the user's first line on."""
    frames = error.__traceback__
    while frames is not None and _is_machinery(frames.tb_frame.f_code.co_filename):
        frames = frames.tb_next
    return "".join(traceback.format_exception(type(error), error, frames)).rstrip()


def _is_machinery(filename: str) -> bool:
    return filename == __file__ or filename.startswith("<frozen importlib")
