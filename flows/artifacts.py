"""Results for people to look at."""

from flows.sdk.artifacts import create_table_artifact

__all__ = ["create_table_artifact"]
