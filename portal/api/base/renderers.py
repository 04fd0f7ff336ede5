"""JSON out, whatever the client says it accepts."""

import json
from collections.abc import Mapping
from typing import Any

import orjson
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request

OPTIONS = orjson.OPT_UTC_Z | orjson.OPT_NAIVE_UTC | orjson.OPT_NON_STR_KEYS


class OrjsonRenderer(BaseRenderer):
    """JSON with times in UTC ("Z") and microseconds."""

    media_type = "application/json"
    format = "json"
    charset = None

    def render(
        self,
        data: Any,
        accepted_media_type: str | None = None,
        renderer_context: Mapping[str, Any] | None = None,
    ) -> bytes:
        if data is None:
            return b""
        try:
            return orjson.dumps(data, option=OPTIONS)
        except orjson.JSONEncodeError:
            # Integers of more than 64 bits, which parameters may hold.
            return json.dumps(data, default=_plain, ensure_ascii=False).encode()


def _plain(value: Any) -> Any:
    return orjson.loads(orjson.dumps(value, option=OPTIONS))


class AlwaysJSON(BaseContentNegotiation):
    """Ignores Accept: there is one format, and a stranger's 401 comes before any 406."""

    def select_parser(self, request: Request, parsers: Any) -> Any:
        wanted = request.content_type.partition(";")[0].strip().lower()
        return next((parser for parser in parsers if parser.media_type == wanted), None)

    def select_renderer(self, request: Request, renderers: Any, format_suffix: str | None = None) -> Any:
        return renderers[0], renderers[0].media_type
