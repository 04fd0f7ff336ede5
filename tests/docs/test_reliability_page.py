"""The page about faults names tests, and bounds that the code has."""

import re

from agents.claim import LEASE_SECONDS
from flows.sdk.batching import MOST_QUEUED, MOST_QUEUED_BYTES
from runs.rules import CrashIsRetried
from tests.processes import PROJECT

PAGE = (PROJECT / "docs" / "reliability.md").read_text()


def test_the_tests_that_it_names_are_there() -> None:
    for name in re.findall(r"`([\w/]*test_\w+\.py)`", PAGE):
        folder = PROJECT if "/" in name else PROJECT / "tests" / "faults"
        assert (folder / name).exists(), name


def test_the_bounds_that_it_names_are_those_of_the_code() -> None:
    assert f"lease of {LEASE_SECONDS} s" in PAGE
    assert f"{MOST_QUEUED:,}, and {MOST_QUEUED_BYTES >> 20} MiB" in PAGE
    assert f"{CrashIsRetried.BEFORE_IT_BEGAN} if it was killed before its flow began" in PAGE
