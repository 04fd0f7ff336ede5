"""Results that are kept together or not at all."""

from flows.sdk.base_transaction import CommitMode, IsolationLevel, TransactionState
from flows.sdk.transactions import (
    AsyncTransaction,
    Transaction,
    atransaction,
    get_transaction,
    transaction,
)

__all__ = [
    "AsyncTransaction",
    "CommitMode",
    "IsolationLevel",
    "Transaction",
    "TransactionState",
    "atransaction",
    "get_transaction",
    "transaction",
]
