"""What each write has to keep: no index that another one makes needless."""

import pytest
from django.db import connection

# The second begins with the columns of the first, and holds every row, so it answers all that the first does.
# Unique indexes are rules. Operator classes are compared for those that serve LIKE.
NEEDLESS = """
SELECT small.indexrelid::regclass::text, big.indexrelid::regclass::text
FROM pg_index small
JOIN pg_class kept ON kept.oid = small.indrelid AND NOT kept.relispartition
JOIN pg_index big ON big.indrelid = small.indrelid AND big.indexrelid <> small.indexrelid
JOIN pg_class method ON method.oid = small.indexrelid
JOIN pg_class other ON other.oid = big.indexrelid AND other.relam = method.relam
WHERE kept.relname ~ '^(flows|runs|agents|portal)_' AND NOT small.indisunique
  AND small.indpred IS NULL AND big.indpred IS NULL
  AND small.indexprs IS NULL AND small.indnkeyatts <= big.indnkeyatts
  AND (small.indkey::int2[])[0:small.indnkeyatts - 1] = (big.indkey::int2[])[0:small.indnkeyatts - 1]
  AND (small.indclass::oid[])[0:small.indnkeyatts - 1] = (big.indclass::oid[])[0:small.indnkeyatts - 1]
ORDER BY 1, 2
"""


def needless_indexes() -> list[tuple[str, str]]:
    with connection.cursor() as cursor:
        cursor.execute(NEEDLESS)
        return cursor.fetchall()


@pytest.mark.django_db
def test_no_index_is_only_the_beginning_of_another() -> None:
    found = [f"{small} is the beginning of {big}" for small, big in needless_indexes()]
    assert not found, found


@pytest.mark.django_db
def test_one_that_is_would_be_found() -> None:
    with connection.cursor() as cursor:
        cursor.execute("CREATE INDEX needless ON runs_taskrun (flow_run_id)")
    assert ("needless", "taskrun_of_run") in needless_indexes()


# An index of the rows that have a value is enough.
UNINDEXED = """
SELECT f.conrelid::regclass::text, a.attname
FROM pg_constraint f
JOIN pg_attribute a ON a.attrelid = f.conrelid AND a.attnum = f.conkey[1]
WHERE f.contype = 'f' AND f.conrelid::regclass::text ~ '^(flows|runs|agents|portal)_'
  AND NOT EXISTS (
      SELECT FROM pg_index i
      WHERE i.indrelid = f.conrelid AND i.indkey[0] = f.conkey[1]
        AND (i.indpred IS NULL
             OR pg_get_expr(i.indpred, i.indrelid) = format('(%s IS NOT NULL)', a.attname)))
ORDER BY 1, 2
"""


@pytest.mark.django_db
def test_an_index_begins_with_each_foreign_key_so_that_deletes_read_no_whole_table() -> None:
    with connection.cursor() as cursor:
        cursor.execute(UNINDEXED)
        assert cursor.fetchall() == []
