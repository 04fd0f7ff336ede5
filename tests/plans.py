"""How PostgreSQL would run a query."""

from django.db import connection, transaction


def plan_without_sorting(sql: str) -> str:
    """The plan of `sql` if whole sorts and table scans cost too much, as they do in a big table.

    Within a test's transaction; the settings last until the end of this call.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        for choice in ("seqscan", "sort", "bitmapscan", "hashjoin", "mergejoin"):
            cursor.execute(f"SET LOCAL enable_{choice} = off")
        cursor.execute(f"EXPLAIN {sql}")
        plan = "\n".join(row[0] for row in cursor.fetchall())
        for choice in ("seqscan", "sort", "bitmapscan", "hashjoin", "mergejoin"):
            cursor.execute(f"SET LOCAL enable_{choice} = on")
    return plan
