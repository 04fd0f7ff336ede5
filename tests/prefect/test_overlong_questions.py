"""What a socket's client asks for is not asked again and again when it takes too long."""

from typing import NoReturn
from unittest.mock import AsyncMock

import psycopg
import pytest
from django.db import OperationalError

from portal.prefect.opening import BAD_FRAME, Gone, Socket, asked


async def test_a_question_that_takes_too_long_closes_its_socket() -> None:
    tries, send = [], AsyncMock()

    def overlong() -> NoReturn:
        tries.append("filter")
        raise OperationalError("canceling statement") from psycopg.errors.QueryCanceled()

    with pytest.raises(Gone, match="took longer than 15 s"):
        await asked(Socket({}, AsyncMock(), send), overlong)

    assert tries == ["filter"]
    [closed] = [call.args[0] for call in send.await_args_list]
    assert (closed["type"], closed["code"]) == ("websocket.close", BAD_FRAME)


async def test_one_that_meets_an_outage_is_repeated() -> None:
    answers = iter([OperationalError("the server is starting"), ["event"]])

    def away_at_first() -> list[str]:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert await asked(Socket({}, AsyncMock(), AsyncMock()), away_at_first) == ["event"]
