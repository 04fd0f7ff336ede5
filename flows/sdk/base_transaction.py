"""How transactions go: look up, lock, stage, commit or roll back. `transactions` is how they are written."""

import copy
import inspect
import logging
from collections.abc import Callable, Sequence
from contextvars import ContextVar, Token
from enum import Enum
from typing import Any
from uuid import uuid4

from flows.sdk.recorder import Aborted
from flows.sdk.results import Logger, ResultRecord, ResultStore
from flows.sdk.serializers import SerializationError
from flows.sdk.steps import Sleep, Steps, run_coroutine

FIRST_LOCK_WAIT = 0.01
LAST_LOCK_WAIT = 0.5


class CommitMode(str, Enum):
    """When a transaction commits."""

    EAGER = "EAGER"  # at its own end
    LAZY = "LAZY"  # with the transaction around it; the outermost at its end
    OFF = "OFF"  # when `commit()` is called, else it rolls back


class IsolationLevel(str, Enum):
    """Whether others may compute the same key meanwhile."""

    READ_COMMITTED = "READ_COMMITTED"
    SERIALIZABLE = "SERIALIZABLE"


class TransactionState(str, Enum):
    """How far a transaction is."""

    PENDING = "PENDING"
    ACTIVE = "ACTIVE"
    STAGED = "STAGED"
    COMMITTED = "COMMITTED"
    ROLLED_BACK = "ROLLED_BACK"


TransactionHook = Callable[["BaseTransaction"], Any]

current_transaction: ContextVar["BaseTransaction | None"] = ContextVar("current_transaction", default=None)

_missing = object()
_OVER = frozenset({TransactionState.COMMITTED, TransactionState.ROLLED_BACK})


class _HookCall:
    """Call a hook; wait for it if it is a coroutine."""

    __slots__ = ("hook", "transaction")

    def __init__(self, hook: TransactionHook, transaction: "BaseTransaction") -> None:
        self.hook = hook
        self.transaction = transaction

    def run(self) -> None:
        answer = self.hook(self.transaction)
        if inspect.iscoroutine(answer):
            run_coroutine(answer)

    async def run_async(self) -> None:
        answer = self.hook(self.transaction)
        if inspect.isawaitable(answer):
            await answer


class BaseTransaction:
    """One transaction; `Transaction` and `AsyncTransaction` say how its steps are taken.

    Without a key nothing is kept, and only the hooks matter.
    """

    def __init__(
        self,
        key: str | None = None,
        store: ResultStore | None = None,
        commit_mode: CommitMode | str | None = None,
        isolation_level: IsolationLevel | str | None = None,
        overwrite: bool = False,
        write_on_commit: bool = True,
        logger: Logger | None = None,
        of_task: bool = False,
    ) -> None:
        self.key = key
        self.parent: BaseTransaction | None = current_transaction.get()
        self.in_block: bool = not of_task or (self.parent is not None and self.parent.in_block)
        inherited = self.parent if self.parent is not None and self.parent.in_block else None
        self.commit_mode: CommitMode = CommitMode(
            commit_mode or (inherited.commit_mode if inherited else CommitMode.LAZY)
        )
        self.isolation_level: IsolationLevel = IsolationLevel(
            isolation_level or (inherited.isolation_level if inherited else IsolationLevel.READ_COMMITTED)
        )
        self.overwrite = overwrite
        self.write_on_commit = write_on_commit
        self.logger: Logger = logger or logging.getLogger("flows.transactions")
        self.state = TransactionState.PENDING
        self.after_rollback: Callable[[], object] = lambda: None
        self.children: list[BaseTransaction] = []
        self.on_commit_hooks: list[TransactionHook] = []
        self.on_rollback_hooks: list[TransactionHook] = []
        self.of_task = of_task
        self.store = store
        self._locked_as: str | None = None
        self._record: ResultRecord | None = None
        self.has_written = False
        self._staged: Any = _missing
        self._values: dict[str, Any] = {}
        self._token: Token[BaseTransaction | None] | None = None

    def set(self, name: str, value: Any) -> None:
        """Note a value, for hooks and for transactions within this one."""
        self._values[name] = value

    def get(self, name: str, default: Any = _missing) -> Any:
        """A copy of the value noted here or in a transaction around. Raises ValueError if there is none."""
        if name in self._values:
            return copy.deepcopy(self._values[name])
        if self.parent is not None:
            return self.parent.get(name, default)
        if default is _missing:
            raise ValueError(f"Could not retrieve value for unknown key: {name}")
        return default

    def stage(
        self,
        value: Any,
        on_rollback_hooks: Sequence[TransactionHook] = (),
        on_commit_hooks: Sequence[TransactionHook] = (),
    ) -> None:
        """The value to keep by the transaction's key once it commits, and hooks. Nothing, if it is over."""
        if self.state in _OVER:
            return
        self._staged = value
        self.on_rollback_hooks += on_rollback_hooks
        self.on_commit_hooks += on_commit_hooks
        self.state = TransactionState.STAGED

    def read(self) -> ResultRecord | None:
        """What was kept by the key before this transaction (`.result`); None if nothing was."""
        return self._record

    def is_pending(self) -> bool:
        return self.state is TransactionState.PENDING

    def is_active(self) -> bool:
        return self.state is TransactionState.ACTIVE

    def is_staged(self) -> bool:
        return self.state is TransactionState.STAGED

    def is_committed(self) -> bool:
        return self.state is TransactionState.COMMITTED

    def is_rolled_back(self) -> bool:
        return self.state is TransactionState.ROLLED_BACK

    # The steps

    def begin(self) -> Steps[None]:
        """Look the key up, and lock it if that is asked for: committed at once, if there is a result."""
        if self._token is not None:
            raise RuntimeError("A transaction cannot be entered twice.")
        self.state = TransactionState.ACTIVE
        self._look_up()
        if self.isolation_level is IsolationLevel.SERIALIZABLE and not self.is_committed():
            yield from self._lock()
            self._look_up()  # whoever held the lock may have put the result there
            if self.is_committed():
                self._unlock()
        self._token = current_transaction.set(self)

    def close(self, error: BaseException | None) -> Steps[None]:
        """The end of the block, or of the task run, with the exception that ended it."""
        if self._token is not None:
            current_transaction.reset(self._token)
            self._token = None
        if isinstance(error, Aborted):
            return  # another attempt owns the run now, and it is not for this one to undo anything
        parent = self.parent
        if error is not None or (parent is not None and parent.is_rolled_back()):
            yield from self.rollback_steps()
        elif self._commits_now():
            yield from self.commit_steps()
        elif parent is None:
            yield from self.rollback_steps()
        elif self.state not in _OVER:
            parent.children.append(self)
        if self.is_rolled_back() and parent is not None and not parent.of_task:
            yield from parent.rollback_steps()

    def _commits_now(self) -> bool:
        """A lazy one leaves it to the transaction around it, unless that is over already."""
        if self.commit_mode is CommitMode.LAZY:
            return self.parent is None or self.parent.is_committed()
        return self.commit_mode is CommitMode.EAGER

    def commit_steps(self) -> Steps[bool]:
        """Commit what is in it, then itself; roll back if a hook fails. Returns whether it committed."""
        if self.state in _OVER:
            return False
        try:
            if (yield from self._commit_children()):
                for hook in self.on_commit_hooks:
                    yield from self._run_hook(hook, "commit")
        except Exception:
            self.logger.exception("A commit hook raised an exception: the transaction is rolled back")
            yield from self.rollback_steps()
        if self.is_rolled_back():
            return False
        self._write()
        self.state = TransactionState.COMMITTED
        self._unlock()
        return True

    def _commit_children(self) -> Steps[bool]:
        """Commit each; roll back as soon as one cannot."""
        for child in self.children:
            yield from child.commit_steps()
            if child.is_rolled_back():
                yield from self.rollback_steps()
                return False
        return True

    def rollback_steps(self) -> Steps[bool]:
        """Undo, last first. Returns whether all hooks did their work."""
        if self.state in _OVER:
            return False
        self.state = TransactionState.ROLLED_BACK
        try:
            for hook in reversed(self.on_rollback_hooks):
                yield from self._run_hook(hook, "rollback")
            self.after_rollback()
            for child in reversed(self.children):
                yield from child.rollback_steps()
        except Exception:
            self.logger.exception("A rollback hook raised an exception: the rollback ends here")
            return False
        finally:
            self._unlock()
        return True

    def _run_hook(self, hook: TransactionHook, occasion: str) -> Steps[None]:
        name = getattr(hook, "__name__", repr(hook))
        self.logger.info("Running %s hook %r", occasion, name)
        yield _HookCall(hook, self)
        self.logger.info("%s hook %r finished running successfully", occasion.capitalize(), name)

    def _look_up(self) -> None:
        if self.key is None or self.store is None or self.overwrite:
            return
        self._record = self.store.read(self.key, self.logger)
        if self._record is not None:
            self.state = TransactionState.COMMITTED

    def _write(self) -> None:
        if self.key is None or self.store is None or self._staged is _missing or not self.write_on_commit:
            return
        try:
            self.store.write(self.key, self._staged)
            self.has_written = True
        except (SerializationError, OSError) as error:
            hint = "persist_result=False says that this is fine"
            self.logger.warning("The result is not kept for retries or caching: %s; %s", error, hint)

    def _lock(self) -> Steps[None]:
        if self.key is None or self.store is None or self.is_locked_around(self.key):
            return  # a lock that is held around here would be waited for in vain
        holder, delay = str(uuid4()), FIRST_LOCK_WAIT
        while not self.store.locks.acquire_lock(self.key, holder, acquire_timeout=0):
            yield Sleep(delay)
            delay = min(2 * delay, LAST_LOCK_WAIT)
        self._locked_as = holder

    def is_locked_around(self, key: str | None = None) -> bool:
        """Whether this one or one around it holds the lock of `key` (None: any lock)."""
        around: BaseTransaction | None = self
        while around is not None:
            if around._locked_as and key in (None, around.key):
                return True
            around = around.parent
        return False

    def _unlock(self) -> None:
        if self._locked_as and self.store is not None and self.key is not None:
            self.store.locks.release_lock(self.key, self._locked_as)
            self._locked_as = None
