"""The demo that `manage.py up` deploys: a flow over real data, on a schedule."""

from flows.catalog.deployments import deploy
from flows.catalog.schedules import ScheduleSpec
from flows.catalog.slots import SlotRule
from flows.models import Deployment, Workspace
from flows.models.workspace import DEFAULT_WORKSPACE

ENTRYPOINT = "portal.demo.weather:weather_report"


def deploy_demo() -> Deployment:
    """Deploy `weather-report/demo` on the default queue, every quarter of an hour. Idempotent."""
    from agents.registry import resolve
    from portal.demo.weather import weather_report

    deployment, _ = deploy(
        Workspace.objects.get(name=DEFAULT_WORKSPACE),
        flow_name=weather_report.name,
        name="demo",
        entrypoint=ENTRYPOINT,
        work_queue_id=resolve("default").id,
        parameter_openapi_schema=weather_report.parameters.schema(),
        schedules=[ScheduleSpec(SlotRule(cron="*/15 * * * *"))],
        tags=["demo"],
        description=(weather_report.description or ""),
    )
    return deployment
