from flows.models.block import Block
from flows.models.calendar import Calendar
from flows.models.deployment import CollisionStrategy, Deployment
from flows.models.flow import Flow
from flows.models.schedule import Schedule
from flows.models.variable import Variable
from flows.models.version import Bundle, DeploymentVersion
from flows.models.workspace import Membership, Workspace

__all__ = [
    "Block",
    "Bundle",
    "Calendar",
    "CollisionStrategy",
    "Deployment",
    "DeploymentVersion",
    "Flow",
    "Membership",
    "Schedule",
    "Variable",
    "Workspace",
]
