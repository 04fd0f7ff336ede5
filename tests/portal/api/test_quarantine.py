"""Lifting a quarantine over HTTP."""

import pytest

from flows.models import Deployment
from flows.sdk.states import Crashed
from tests.portal.fixtures import Caller
from tests.runs.test_quarantine import end

pytestmark = pytest.mark.django_db


def test_an_operator_lifts_it_by_a_call(operator: Caller, viewer: Caller, deployment: Deployment) -> None:
    end(deployment, *[Crashed()] * 5)
    path = f"/api/deployments/{deployment.id}/lift_quarantine"
    assert viewer.post(path).status_code == 403
    lifted = operator.post(path)
    assert (lifted.status_code, lifted.json()["paused"], lifted.json()["quarantined"]) == (200, False, None)
    assert operator.post(path).status_code == 409
