"""What the tests beside this one stand on."""

import pytest

from tests.prefect.client import PrefectClient

pytestmark = pytest.mark.processes


def test_the_client_is_prefects_own_and_knows_nothing_of_ours(prefect_client: PrefectClient) -> None:
    printed = prefect_client.run("-c", "import prefect, flows", fails=True)

    assert "No module named 'flows'" in printed
