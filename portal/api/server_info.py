"""What Prefect's clients ask of a server before anything else, and lists that are empty here."""

from typing import ClassVar

from rest_framework.decorators import action
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ViewSet

from flows.models import Membership
from portal.api.base.errors import InvalidInput

# The server whose protocol this API speaks. Clients refuse another major version, and warn of an older
# minor one.
PREFECT_VERSION = "3.9.1"


class Hello(ViewSet):
    """`/api/hello`"""

    def list(self, request: Request) -> Response:
        """Somebody is there."""
        return Response("👋")


class CsrfToken(ViewSet):
    """`/api/csrf-token`"""

    def list(self, request: Request) -> Response:
        """422, with the text by which clients know that they need none: tokens are not sent by browsers."""
        raise InvalidInput(detail="CSRF protection is disabled.")


class Admin(ViewSet):
    """`/api/admin`"""

    @action(detail=False)
    def version(self, request: Request) -> Response:
        """The version of Prefect that clients take this server for."""
        return Response(PREFECT_VERSION)

    @action(detail=False)
    def storage(self, request: Request) -> Response:
        """No block is the default for results: clients keep them where their own settings say."""
        return Response({"default_result_storage_block_id": None})


class Collections(ViewSet):
    """`/api/collections`"""

    @action(detail=False, url_path="views/(?P<view>[^/]+)")
    def views(self, request: Request, view: str) -> Response:
        """404: clients then use what they know of worker types themselves."""
        raise NotFound(f"There is no collection '{view}'. Take the job template from the worker's package.")


class Automations(ViewSet):
    """`/api/automations`"""

    roles: ClassVar[dict[str, Membership.Role]] = {
        "create": Membership.Role.EDITOR,
        "filter": Membership.Role.VIEWER,
        "remove_owned": Membership.Role.EDITOR,
    }

    def create(self, request: Request) -> Response:
        """422: there are none yet."""
        raise InvalidInput(
            detail="This server runs no automations. Deploy without triggers; a schedule, or "
            "run_deployment() in another flow, can start the deployment."
        )

    @action(detail=False, methods=["post"])
    def filter(self, request: Request) -> Response:
        """All of them: none."""
        return Response([])

    @action(detail=False, url_path="related-to/(?P<resource>[^/]+)")
    def related(self, request: Request, resource: str) -> Response:
        """Those that speak of a resource: none."""
        return Response([])

    @action(detail=False, methods=["delete"], url_path="owned-by/(?P<resource>[^/]+)")
    def remove_owned(self, request: Request, resource: str) -> Response:
        """Delete those of a deployment, as clients do before they deploy again: 202."""
        return Response(status=202)
