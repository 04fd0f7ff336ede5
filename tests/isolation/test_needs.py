"""What an interpreter must have to execute isolated runs."""

import re
import tomllib

from flows.sdk.isolated import NEEDED
from tests.processes import PROJECT


def test_it_is_what_the_package_without_extras_brings() -> None:
    declared = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["dependencies"]

    assert {re.split("[<>=]", each)[0] for each in declared} == set(NEEDED)
