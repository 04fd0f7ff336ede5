"""What a run asks of people or of other runs, as a type: its JSON Schema, and answers as its instances."""

from typing import Any

from pydantic import BaseModel, create_model


class Question:
    """A pydantic model as it is; any other type as the one field `value` of a model.

    `schema` keeps the order of the fields; `description` is Markdown for people, from `with_initial_data`.
    """

    def __init__(self, kind: Any) -> None:
        self._is_model = isinstance(kind, type) and issubclass(kind, BaseModel)
        self._model: type[BaseModel] = kind if self._is_model else create_model("Answer", value=(kind, ...))
        self.schema: dict[str, Any] = self._model.model_json_schema()
        self.description: str = getattr(kind, "_description", None) or ""

    def parse(self, answer: dict[str, Any]) -> Any:
        """Raises pydantic's ValidationError."""
        found = self._model.model_validate(answer)
        return found if self._is_model else dict(found)["value"]
