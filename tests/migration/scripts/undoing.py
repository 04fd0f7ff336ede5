"""Transactions: rollback hooks, values."""

from prefect import flow, task
from prefect.transactions import transaction

events = []


@task
def write(name: str) -> None:
    events.append(f"write {name}")


@write.on_rollback
def unwrite(transaction) -> None:
    events.append(f"undo, for {transaction.get('who')}")


@write.on_commit
def confirm(transaction) -> None:
    events.append("confirmed")


@flow
def job(fine: bool) -> None:
    with transaction() as block:
        block.set("who", "me")
        write("a")
        write("b")
        if not fine:
            raise ValueError("not fine")


if __name__ == "__main__":
    job(True)
    print(events)
    events.clear()
    try:
        job(False)
    except ValueError:
        print(events)

# Prints:
# ['write a', 'write b', 'confirmed', 'confirmed']
# ['write a', 'write b', 'undo, for me', 'undo, for me']
