from agents.models.agent import Agent
from agents.models.service import ServiceStatus
from agents.models.work_pool import WorkPool
from agents.models.work_queue import WorkQueue
from agents.models.worker import Worker

__all__ = ["Agent", "ServiceStatus", "WorkPool", "WorkQueue", "Worker"]
