"""JSON as it was written."""

from typing import Any

from django.db import models
from psycopg.types.json import Json

from flows.catalog.json_text import json_text


class OrderedJSONField(models.JSONField):
    """JSON whose objects keep the order of their names, as the columns of a table must.

    PostgreSQL's jsonb sorts them by length. What is kept here cannot be compared or looked into by queries.
    """

    def db_type(self, connection: Any) -> str:
        return "json"

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> Any:
        """psycopg has read it already: Django tells it to leave alone only jsonb."""
        return value

    def get_db_prep_value(self, value: Any, connection: Any, prepared: bool = False) -> Any:
        return None if value is None else Json(value, dumps=json_text)
