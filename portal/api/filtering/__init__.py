"""Filters of lists: `query` of GET, and of `POST /filter` and `/count` the language and its columns."""
