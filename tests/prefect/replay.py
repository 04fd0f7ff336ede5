"""Exchanges with a Prefect server, recorded, and sent again to Portal.

One line each: what was asked, and what of the answer counts. Ids are those of that server; a time `@+30` was
30 s after its request.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.portal.fixtures import Caller

RECORDINGS = Path(__file__).parent / "recordings"


def exchanges(name: str) -> Iterator[dict[str, Any]]:
    for line in (RECORDINGS / f"{name}.jsonl").read_text().splitlines():
        yield json.loads(line)


@dataclass
class Replay:
    """Sends recorded requests, with Portal's ids in place of the recorded ones."""

    caller: Caller
    ids: dict[str, str] = field(default_factory=dict)

    def send(self, exchange: dict[str, Any]) -> Any:
        """The response, whose id stands for the recorded one from now on."""
        path = self._translated(f"/api{exchange['path']}")
        body = self._translated(exchange.get("req"))
        send = getattr(self.caller, exchange["method"].lower())
        response = send(path) if body is None else send(path, body)
        if "id" in exchange and response.status_code < 300:
            self.ids[exchange["id"]] = response.json()["id"]
        return response

    def _translated(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {name: self._translated(each) for name, each in value.items()}
        if isinstance(value, list):
            return [self._translated(each) for each in value]
        if not isinstance(value, str):
            return value
        if value.startswith("@"):
            return (datetime.now(UTC) + timedelta(seconds=float(value[1:]))).isoformat()
        for theirs, ours in self.ids.items():
            value = value.replace(theirs, ours)
        return value
