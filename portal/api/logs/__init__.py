"""`/api/logs`."""
