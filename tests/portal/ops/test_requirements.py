"""The pinned lists: what is installed is what pyproject.toml asks for."""

import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.processes import PROJECT

METADATA = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
EXTRAS = METADATA["optional-dependencies"]
LISTS = {
    "requirements.txt": METADATA["dependencies"] + EXTRAS["server"],
    "requirements-dev.txt": METADATA["dependencies"] + EXTRAS["server"] + EXTRAS["dev"],
    "tests/prefect/requirements.txt": ["prefect>=3.8,<4"],
}


def pinned(name: str) -> dict[str, Requirement]:
    """The packages of a list; hashes are on lines of their own."""
    lines = (PROJECT / name).read_text().splitlines()
    found = [Requirement(line.rstrip("\\ ")) for line in lines if line and not line.startswith((" ", "#"))]
    return {canonicalize_name(requirement.name): requirement for requirement in found}


@pytest.mark.parametrize("name", LISTS)
def test_a_list_has_what_is_asked_for(name: str) -> None:
    versions = pinned(name)

    for text in LISTS[name]:
        asked = Requirement(text)
        version = str(versions[canonicalize_name(asked.name)].specifier).removeprefix("==")
        assert asked.specifier.contains(version), f"{text}: run `make requirements`"


def test_both_lists_agree() -> None:
    dev = pinned("requirements-dev.txt")

    for name, requirement in pinned("requirements.txt").items():
        assert dev[name].specifier == requirement.specifier


@pytest.mark.parametrize("name", LISTS)
def test_a_list_names_no_package_index(name: str) -> None:
    assert "--index" not in (PROJECT / name).read_text()
    assert "://" not in (PROJECT / name).read_text()


def test_every_dependency_has_its_reason() -> None:
    reasons = (PROJECT / "docs" / "dependencies.md").read_text()

    for text in LISTS["requirements-dev.txt"]:
        name = Requirement(text).name
        assert name in reasons or (name.startswith("types-") and "types-*" in reasons), name
