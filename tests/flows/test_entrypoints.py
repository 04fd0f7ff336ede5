"""Entrypoints: from a text to a flow, or to a message that says what is wrong."""

import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.sdk.entrypoints import EntrypointError, load_flow

ETL = """
from flows import flow

@flow
def etl(year: int = 2024):
    return helper() + year

@flow
def other():
    pass

def helper():
    return 1
"""


@pytest.fixture(autouse=True)
def restored_imports() -> Iterator[None]:
    """Take back what loading adds to sys.path and sys.modules."""
    path, modules = list(sys.path), set(sys.modules)
    yield
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        del sys.modules[name]


def write(folder: Path, **files: str) -> None:
    for name, text in files.items():
        file = folder / f"{name.replace('__', '/')}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


def test_a_flow_is_found_by_file(tmp_path: Path) -> None:
    write(tmp_path, etl=ETL)
    assert load_flow("etl.py:etl", str(tmp_path))() == 2025


def test_a_flow_is_found_by_module(tmp_path: Path) -> None:
    write(tmp_path, project__etl=ETL)
    assert load_flow("project.etl:other", str(tmp_path)).name == "other"


def test_files_import_their_neighbours(tmp_path: Path) -> None:
    write(tmp_path, jobs__near="one = 1", far="two = 2")
    write(tmp_path, jobs__etl=ETL.replace("return 1", "import near, far; return near.one + far.two"))
    assert load_flow("jobs/etl.py:etl", str(tmp_path))(0) == 3


def test_the_users_folder_hides_nothing(tmp_path: Path) -> None:
    write(tmp_path, json="raise RuntimeError('not this one')", etl="import json\n" + ETL)
    load_flow("etl.py:etl", str(tmp_path))
    assert sys.path[-1] == str(tmp_path)


def test_a_changed_file_is_loaded_afresh(tmp_path: Path) -> None:
    write(tmp_path, etl=ETL)
    load_flow("etl.py:etl", str(tmp_path))
    write(tmp_path, etl=ETL.replace("return 1", "return 1000"))
    assert load_flow("etl.py:etl", str(tmp_path))() == 3024


def test_functions_of_a_loaded_file_can_be_pickled(tmp_path: Path) -> None:
    write(tmp_path, etl=ETL)
    helper = load_flow("etl.py:etl", str(tmp_path)).fn.__globals__["helper"]
    assert pickle.loads(pickle.dumps(helper)) is helper


def test_two_files_of_one_name_do_not_collide(tmp_path: Path) -> None:
    write(tmp_path, a__etl=ETL, b__etl=ETL.replace("return 1", "return 2"))
    first, second = load_flow("a/etl.py:etl", str(tmp_path)), load_flow("b/etl.py:etl", str(tmp_path))
    assert (first(0), second(0)) == (1, 2)


def test_a_folder_called_flows_is_loaded_by_file(tmp_path: Path) -> None:
    write(tmp_path, flows__etl=ETL)
    assert load_flow("flows/etl.py:etl", str(tmp_path))() == 2025


@pytest.mark.parametrize(
    ("entrypoint", "text", "complaint"),
    [
        ("etl", "", "'etl' is no entrypoint. Write FILE:FLOW such as"),
        ("nowhere.py:etl", "", "There is no file 'nowhere.py' in"),
        ("etl.py:load", ETL, "There is no 'load' in etl.py. Flows there are: etl, other."),
        ("etl.py:load", "x = 1", "There is no 'load' in etl.py. There are no flows in it."),
        ("etl.py:helper", ETL, "'helper' in etl.py is a function, not a flow: put @flow before it."),
        ("etl.py:etl", "import sys\nsys.exit(2)", "etl.py called sys.exit(2) while it was imported."),
        ("etl.py:etl", "def broken(:", "SyntaxError"),
        ("missing_project.etl:etl", "", "There is no module 'missing_project'."),
        ("flows.etl:etl", "", "Portal's own. Name the file instead, flows/etl.py"),
    ],
)
def test_a_wrong_entrypoint_says_what_is_wrong(
    tmp_path: Path, entrypoint: str, text: str, complaint: str
) -> None:
    write(tmp_path, etl=text)
    with pytest.raises(EntrypointError) as raised:
        load_flow(entrypoint, str(tmp_path))
    assert complaint in str(raised.value)


def test_an_import_error_shows_the_users_own_lines(tmp_path: Path) -> None:
    write(tmp_path, etl="import near", near="value = 1 // 0")
    with pytest.raises(EntrypointError) as raised:
        load_flow("etl.py:etl", str(tmp_path))
    text = str(raised.value)
    assert text.startswith("etl.py could not be imported.\nTraceback (most recent call last):\n")
    assert "value = 1 // 0" in text and "ZeroDivisionError" in text
    assert "entrypoints.py" not in text and "importlib" not in text


def test_a_package_called_flows_is_refused(tmp_path: Path) -> None:
    write(tmp_path, flows__etl=ETL)
    (tmp_path / "flows" / "__init__.py").touch()
    with pytest.raises(EntrypointError, match="a package of the name `flows`, which is Portal's own"):
        load_flow("flows/etl.py:etl", str(tmp_path))


def test_neither_the_sdk_nor_entrypoints_import_django() -> None:
    script = (
        "import sys, flows, flows.runtime, flows.artifacts, flows.futures, flows.states, flows.task_runners, "
        "flows.sdk.entrypoints, flows.sdk.validation\n"
        "sys.exit('django' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_importing_the_sdk_imports_neither_pydantic_nor_asyncio() -> None:
    script = "import sys, flows\nsys.exit(bool({'pydantic', 'asyncio', 'coolname'} & sys.modules.keys()))"
    subprocess.run([sys.executable, "-c", script], check=True)
