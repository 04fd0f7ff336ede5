"""No token and no user may fill a server with sockets."""

from typing import Any

import pytest

from portal.live.seats import Seat, _taken, seated


def test_there_are_so_many_places_for_each(settings: Any) -> None:
    settings.PORTAL_SOCKETS_AT_ONCE = 2
    seats = [Seat() for _ in range(3)]

    assert [seat.take("ada") for seat in seats] == [True, True, False]
    seats[2].leave()
    assert not seats[2].take("ada"), "it had no place that it could give back"
    seats[0].leave()
    assert seats[2].take("ada")
    for seat in seats:
        seat.leave()
        seat.leave()
    assert "ada" not in _taken


def test_none_is_no_bound(settings: Any) -> None:
    settings.PORTAL_SOCKETS_AT_ONCE = 0
    seats = [Seat() for _ in range(300)]

    assert all(seat.take("ada") for seat in seats)
    for seat in seats:
        seat.leave()


async def _nothing(*frame: Any) -> Any:
    return None


async def test_a_socket_gives_its_place_back_however_it_ends() -> None:
    async def breaks(scope: Any, receive: Any, send: Any) -> None:
        assert scope["seat"].take("ada")
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        await seated(breaks)({}, _nothing, _nothing)

    assert "ada" not in _taken
