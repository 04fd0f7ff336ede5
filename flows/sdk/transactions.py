"""Transactions: results that are kept together or not at all, and what undoes the work if they are not.

Every task run is one, within the `transaction()` block or the task that surrounds it. What is in a
transaction is written when it commits: `on_commit` hooks run, then the value is kept by key. When it rolls
back, the `on_rollback` hooks of all that was done in it run, last first.
"""

from typing import Self

from flows.sdk.base_transaction import BaseTransaction, CommitMode, IsolationLevel, current_transaction
from flows.sdk.context import MissingContextError
from flows.sdk.logs import get_run_logger
from flows.sdk.results import Logger, ResultStore
from flows.sdk.steps import drive, drive_async


class Transaction(BaseTransaction):
    """For `with`."""

    def __enter__(self) -> Self:
        drive(self.begin())
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        drive(self.close(error))

    def commit(self) -> bool:
        """Commit now; return whether that was done: False if it is over, or a hook failed."""
        return drive(self.commit_steps())

    def rollback(self) -> bool:
        """Roll back now; return whether that was done: False if it is over, or a hook failed."""
        return drive(self.rollback_steps())


class AsyncTransaction(BaseTransaction):
    """For `async with`."""

    async def __aenter__(self) -> Self:
        await drive_async(self.begin())
        return self

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        await drive_async(self.close(error))

    async def commit(self) -> bool:
        """See `Transaction.commit`."""
        return await drive_async(self.commit_steps())

    async def rollback(self) -> bool:
        """See `Transaction.rollback`."""
        return await drive_async(self.rollback_steps())


def transaction(
    key: str | None = None,
    store: ResultStore | None = None,
    commit_mode: CommitMode | str | None = None,
    isolation_level: IsolationLevel | str | None = None,
    overwrite: bool = False,
    write_on_commit: bool = True,
    logger: Logger | None = None,
) -> Transaction:
    """A transaction for `with transaction(...) as txn:`.

    key: under what the staged value is kept; None: nothing is kept.
    store: where; default: where the surrounding run keeps its results.
    commit_mode: default: as the transaction around it, else LAZY.
    isolation_level: default: as the transaction around it, else READ_COMMITTED.
    overwrite: do not look for a value that is kept already.
    write_on_commit: False keeps no value.
    logger: for hooks and errors; default: the run's.
    """
    return Transaction(
        key,
        store or _store_of_run(key),
        commit_mode,
        isolation_level,
        overwrite,
        write_on_commit,
        logger or _logger_of_run(),
    )


def atransaction(
    key: str | None = None,
    store: ResultStore | None = None,
    commit_mode: CommitMode | str | None = None,
    isolation_level: IsolationLevel | str | None = None,
    overwrite: bool = False,
    write_on_commit: bool = True,
    logger: Logger | None = None,
) -> AsyncTransaction:
    """As `transaction`, for `async with atransaction(...) as txn:`."""
    return AsyncTransaction(
        key,
        store or _store_of_run(key),
        commit_mode,
        isolation_level,
        overwrite,
        write_on_commit,
        logger or _logger_of_run(),
    )


def get_transaction() -> BaseTransaction | None:
    """The transaction that surrounds the caller: a block, or the task run it is called in."""
    return current_transaction.get()


def _store_of_run(key: str | None) -> ResultStore | None:
    return None if key is None else ResultStore()


def _logger_of_run() -> Logger | None:
    try:
        return get_run_logger()
    except MissingContextError:
        return None
