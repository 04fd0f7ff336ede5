"""A pool whose runs are executed in processes of their own, its agent, and a server that they report to."""

import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agents.models import WorkPool
from flows.models import Deployment
from runs.models import Log
from tests.factories import make_deployment, make_queue
from tests.faults.conftest import Stage
from tests.processes import Child, RunningStack
from tests.standing import StandingServer

FOLDER = Path(__file__).parent
POOL = "isolated"
OWN = {  # others are those of `tests.faults`
    "shows", "works", "stumbles", "asks", "meddles", "eats", "spreads", "dies", "hands_over", "spins",
}  # fmt: skip


class IsolatedStage(Stage):
    """Runs the flows of `flow_file.py` in the pool `isolated`, which is of type `process`."""

    def __init__(self, stack: RunningStack, api_url: str) -> None:
        super().__init__(stack)
        self.api_url = api_url
        self.queue = make_queue(pool=POOL)
        self.pool(type=WorkPool.Type.PROCESS)

    def pool(self, **fields: Any) -> None:
        """Change the pool."""
        WorkPool.objects.filter(name=POOL).update(**fields)

    def agent(self, *arguments: str, **environment: str) -> Child:
        reached = {"PORTAL_AGENT_API_URL": self.api_url}
        return super().agent("isolated/default", *arguments, **{**reached, **environment})

    def deployment(self, flow: str, **fields: Any) -> Deployment:
        found = Deployment.objects.filter(name=flow).first()
        folder = FOLDER if flow in OWN else FOLDER.parent / "faults"
        where = {"path": str(folder), "entrypoint": f"flow_file.py:{flow}"}
        return found or make_deployment(flow, flow, queue=self.queue, **{**where, **fields})

    def log(self) -> str:
        """What all runs have logged."""
        return "\n".join(Log.objects.order_by("timestamp", "id").values_list("message", flat=True))

    def virtual_environment(self, sees_our_packages: bool = True) -> Path:
        """A second virtual environment."""
        folder = self.folder / "venv"
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
        if sees_our_packages:
            version = f"python{sys.version_info.major}.{sys.version_info.minor}"
            link = folder / "lib" / version / "site-packages" / "ours.pth"
            link.write_text(sysconfig.get_path("purelib"))
        return folder


@pytest.fixture
def stage(standing: StandingServer, tmp_path: Path) -> Iterator[IsolatedStage]:
    with standing.helped(tmp_path) as stack:
        yield IsolatedStage(stack, standing.url)
