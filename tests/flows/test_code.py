"""Code that goes to other processes fits their Python, or is not opened."""

import sys

import pytest

from flows.sdk.code import OtherPythonError, opened_code, packed_code, pickled


def test_code_goes_to_a_process_of_the_same_python() -> None:
    assert opened_code(packed_code(lambda: 42, __name__))() == 42


def test_code_of_another_python_is_not_opened() -> None:
    older = packed_code(lambda: 42, __name__).replace(bytes(sys.version_info[:2]), bytes([3, 10]), 1)

    with pytest.raises(OtherPythonError, match=r"was sent by Python 3\.10, and its agent runs Python 3\.\d+"):
        opened_code(older)


def test_what_an_older_sdk_sent_is_still_opened() -> None:
    assert opened_code(pickled(lambda: 42, __name__))() == 42
