from flows.models.deployment import Deployment
from flows.models.flow import Flow
from flows.models.schedule import Schedule
from flows.models.workspace import Membership, Workspace

__all__ = ["Deployment", "Flow", "Membership", "Schedule", "Workspace"]
