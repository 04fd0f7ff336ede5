"""Entrypoints: from `path/file.py:flow` or `package.module:flow` to the flow.

Runs the user's code, so only agents and command-line tools load entrypoints. Needs no Django.
"""

import importlib
import importlib.util
import sys
import traceback
from hashlib import blake2s
from pathlib import Path
from types import ModuleType
from typing import Any

from flows.sdk.flows import Flow


class EntrypointError(ValueError):
    """The entrypoint leads to no flow. The text says why and what to do."""


def load_flow(entrypoint: str, path: str = "") -> Flow[Any, Any]:
    """The flow at `file.py:flow` (relative to the folder `path`) or `package.module:flow`.

    The folder goes to the end of `sys.path`, so that it hides nothing. Raises EntrypointError.
    """
    target, _, name = entrypoint.rpartition(":")
    if not target or not name:
        raise EntrypointError(
            f"{entrypoint!r} is no entrypoint. Write FILE:FLOW such as flows/etl.py:etl, "
            "or MODULE:FLOW such as project.etl:etl."
        )
    folder = Path(path).expanduser().resolve() if path else Path.cwd()
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
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise EntrypointError(f"{file} is not a Python file.")
    module = importlib.util.module_from_spec(spec)
    before = sys.modules.get(name)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        sys.modules.pop(name)
        if before is not None:
            sys.modules[name] = before
        raise EntrypointError(f"{target} could not be imported.\n{_own_traceback(error)}") from error
    except SystemExit as error:
        raise EntrypointError(f"{target} called sys.exit({error.code!r}) while it was imported.") from error
    return module


def _module_of_name(target: str) -> ModuleType:
    if target.partition(".")[0] == "flows":
        raise EntrypointError(
            f"{target!r} would be looked for in the package `flows`, which is Portal's own. "
            f"Name the file instead, {target.replace('.', '/')}.py, or rename your folder."
        )
    try:
        return importlib.import_module(target)
    except ModuleNotFoundError as error:
        if error.name and (target == error.name or target.startswith(f"{error.name}.")):
            raise EntrypointError(
                f"There is no module {error.name!r}. It was looked for in: {', '.join(filter(None, sys.path))}."
            ) from error
        raise EntrypointError(f"{target} could not be imported.\n{_own_traceback(error)}") from error
    except Exception as error:
        raise EntrypointError(f"{target} could not be imported.\n{_own_traceback(error)}") from error


def _flow_of(module: ModuleType, name: str, target: str) -> Flow[Any, Any]:
    found = module
    for part in name.split("."):
        found = getattr(found, part, None)  # type: ignore[assignment]
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
