"""Lifting a quarantine on the deployment's page."""

import pytest
from django.test import Client

from flows.models import Deployment
from flows.sdk.states import Crashed
from tests.runs.test_quarantine import end

pytestmark = pytest.mark.django_db


def test_an_operator_lifts_it_by_a_click(superuser: Client, deployment: Deployment) -> None:
    end(deployment, *[Crashed()] * 5)
    page = f"/admin/flows/deployment/{deployment.id}/change/"
    assert "Put in quarantine" in superuser.get(page).content.decode()
    superuser.post(f"/admin/flows/deployment/{deployment.id}/lift/")
    deployment.refresh_from_db()
    assert not deployment.paused
    assert "Put in quarantine" not in superuser.get(page).content.decode()
