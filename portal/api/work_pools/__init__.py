"""`/api/work_pools` and `/api/work_queues`."""
