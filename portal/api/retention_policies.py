"""Retention policies: how long ended runs are kept, and what a policy would remove now."""

from collections.abc import Mapping
from typing import Any, ClassVar

from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from agents.services.database import database_time
from flows.catalog.parameters import FieldError
from flows.models import Deployment, Membership
from portal.access.actors import actor_of, home_workspace, need_role
from portal.api.base.errors import InvalidInput
from portal.api.base.resource import Resource, Row
from runs.models import RetentionPolicy
from runs.models.retention import ENDINGS
from runs.retention import preview

Role = Membership.Role
LONGEST_DAYS = 36_500


class PolicyInput(serializers.Serializer[Any]):
    """The body of a create. `keep_days` null: for ever."""

    deployment_id = serializers.UUIDField(required=False, allow_null=True)
    state_type = serializers.ChoiceField(choices=ENDINGS, required=False, allow_blank=True)
    keep_days = serializers.IntegerField(min_value=1, max_value=LONGEST_DAYS, allow_null=True)


class RetentionPolicies(Resource):
    """`/api/retention_policies`"""

    model = RetentionPolicy
    columns = ("id", "created", "updated", "deployment_id", "state_type", "keep_days")
    ordering_fields = ("created",)
    roles: ClassVar[Mapping[str, Role]] = {"create": Role.ADMIN, "destroy": Role.ADMIN}

    def create(self, request: Request) -> Response:
        """Make the policy of these runs, or change it: 201 or 200."""
        incoming = PolicyInput(data=request.data)
        incoming.is_valid(raise_exception=True)
        body = incoming.validated_data
        deployment = self._deployment(request, body)
        policy, made = RetentionPolicy.objects.update_or_create(
            workspace=deployment.workspace if deployment else home_workspace(actor_of(request), Role.ADMIN),
            deployment=deployment,
            state_type=body.get("state_type", ""),
            defaults={"keep_days": body["keep_days"]},
        )
        return Response(self.as_json(policy.id), status=201 if made else 200)

    def destroy(self, request: Request, pk: str) -> Response:
        """Remove the policy: from now on the next wider one holds."""
        self.get_object().delete()
        return Response(status=204)

    @action(detail=False)
    def preview(self, request: Request) -> Response:
        """What would be removed now: `[{"state_type", "deployment_id", "keep_days", "runs", "oldest"}]`.

        `runs` counts no further than 100,000.
        """
        return Response(preview(self.get_queryset(), database_time()))

    def _deployment(self, request: Request, body: Row) -> Deployment | None:
        wanted = body.get("deployment_id")
        if wanted is None:
            return None
        visible = Deployment.objects.for_actor(actor_of(request)).select_related("workspace")
        found: Deployment | None = visible.filter(id=wanted).first()
        if found is None:
            raise InvalidInput([FieldError("deployment_id", f"there is no deployment {wanted}")])
        need_role(actor_of(request), Role.ADMIN, found.workspace_id)
        return found
