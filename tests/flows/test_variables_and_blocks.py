"""Variables and blocks, in memory."""

import asyncio
from collections.abc import Iterator
from contextvars import Context

import pytest
from pydantic import BaseModel, SecretStr

from flows import flow
from flows.blocks import Block, Secret
from flows.exceptions import AlreadyThereError
from flows.sdk import http_backend
from flows.sdk.backend import Backend, backed_by
from flows.sdk.client import PortalApiError
from flows.sdk.memory_backend import memory_backend
from flows.variables import Variable


class Login(BaseModel):
    user: str
    password: SecretStr


class DatabaseLogin(Block):
    """Where the data lies."""

    host: str
    login: Login
    fallbacks: list[SecretStr] = []


@pytest.fixture(autouse=True)
def backend() -> Iterator[Backend]:
    with backed_by(memory_backend()) as memory:
        yield memory


def test_a_variable_is_set_and_read() -> None:
    made = Variable.set("limit", {"rows": 3}, tags=["prod"])

    assert (made.name, made.value, made.tags) == ("limit", {"rows": 3}, ["prod"])
    assert Variable.get("limit") == {"rows": 3}


def test_what_is_not_there_is_the_default() -> None:
    assert Variable.get("missing") is None
    assert Variable.get("missing", default=3) == 3


def test_a_variable_is_replaced_only_if_told() -> None:
    Variable.set("limit", 1)
    with pytest.raises(AlreadyThereError, match="overwrite=True"):
        Variable.set("limit", 2)

    assert Variable.set("limit", 2, overwrite=True).value == 2


def test_a_variable_is_unset() -> None:
    Variable.set("limit", 1)

    assert (Variable.unset("limit"), Variable.unset("limit")) == (True, False)


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("Big", 1, "lower-case"),
        ("x", object(), "not JSON"),
        ("x", float("nan"), "not JSON"),
        ("x", "y" * 5000, "longer than 5000"),
    ],
)
def test_what_cannot_be_stored_is_refused(name: str, value: object, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Variable.set(name, value)


def test_what_is_meant_for_a_server_is_not_kept_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORTAL_API_URL", "http://127.0.0.1:9/api")
    monkeypatch.setattr(http_backend, "PATIENCE", 0)

    def outside() -> None:
        with pytest.raises(PortalApiError, match="does not answer"):
            Variable.set("limit", 1)

    Context().run(outside)


def test_async_flows_await_variables() -> None:
    @flow
    async def work() -> int:
        await Variable.set("limit", 1)
        await Variable.aset("limit", await Variable.aget("limit") + 1, overwrite=True)
        found: int = await Variable.get("limit")
        return found if await Variable.aunset("limit") else 0

    assert asyncio.run(work()) == 2


def test_a_secret_is_kept_and_not_shown() -> None:
    Secret(value="tell nobody").save("api-key")

    secret = Secret.load("api-key")
    assert secret.get() == "tell nobody"
    assert "tell nobody" not in f"{secret!r} {secret}"


def test_a_block_of_ones_own_type_keeps_its_secrets(backend: Backend) -> None:
    login = Login(user="etl", password=SecretStr("pw"))
    DatabaseLogin(host="db", login=login, fallbacks=[SecretStr("old")]).save("prod")

    found = DatabaseLogin.load("prod")
    assert (found.host, found.login.password.get_secret_value()) == ("db", "pw")
    assert found.fallbacks[0].get_secret_value() == "old"
    assert Block.load("database-login/prod") == found
    assert backend.blocks.load("database-login", "prod")


def test_a_block_is_replaced_only_if_told() -> None:
    Secret(value="a").save("api-key")
    with pytest.raises(AlreadyThereError):
        Secret(value="b").save("api-key")
    Secret(value="b").save("api-key", overwrite=True)

    assert Secret.load("api-key").get() == "b"


def test_a_missing_block_says_so() -> None:
    with pytest.raises(ValueError, match="There is no block secret/nothing"):
        Secret.load("nothing")
    with pytest.raises(ValueError, match="import the module"):
        Block.load("unheard-of/nothing")
    with pytest.raises(ValueError, match="There is no block"):
        Secret.delete("nothing")


def test_a_block_is_deleted() -> None:
    Secret(value="a").save("api-key")
    Secret.delete("api-key")

    with pytest.raises(ValueError, match="no block"):
        Secret.load("api-key")


def test_the_name_of_a_block_follows_a_rule() -> None:
    with pytest.raises(ValueError, match="lower-case"):
        Secret(value="a").save("Api Key")
