"""Where results are kept, for `transaction(key, store=...)`."""

from flows.sdk.results import ResultRecord, ResultStore, get_result_store

__all__ = ["ResultRecord", "ResultStore", "get_result_store"]
