"""The page with every fault names tests that are there, and leaves out none of the folder."""

import re

from tests.processes import PROJECT

PAGE = (PROJECT / "docs" / "failure-matrix.md").read_text()
FAULTS = PROJECT / "tests" / "faults"
NAMED = set(re.findall(r"`([\w/]*test_\w+\.py)`", PAGE))


def test_the_tests_that_it_names_are_there() -> None:
    assert not [name for name in NAMED if not ((PROJECT if "/" in name else FAULTS) / name).exists()]


def test_no_test_of_the_folder_is_left_out() -> None:
    assert {path.name for path in FAULTS.glob("test_*.py")} <= NAMED
