"""Time-ordered ids."""

import os

from flows.sdk.ids import uuid7

RANDOM = (1 << 62) - 1


def test_ids_sort_as_they_were_made() -> None:
    ids = [uuid7() for _ in range(2_000)]
    assert ids == sorted(set(ids))
    assert {(each.version, each.variant) for each in ids} == {(7, "specified in RFC 4122")}


def test_a_forked_child_draws_random_numbers_of_its_own() -> None:
    """They are fetched ahead; two processes that shared them could make one id twice."""
    uuid7()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, uuid7().bytes)
        os._exit(0)
    os.waitpid(child, 0)
    its = int.from_bytes(os.read(reading, 16), "big") & RANDOM
    assert its not in {uuid7().int & RANDOM for _ in range(300)}
    os.close(reading)
    os.close(writing)
