"""`/api/deployments`: definitions, schedules, queues and runs of deployments."""
