from agents.models.agent import Agent
from agents.models.work_pool import WorkPool
from agents.models.work_queue import WorkQueue

__all__ = ["Agent", "WorkPool", "WorkQueue"]
