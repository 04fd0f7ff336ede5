"""`/api/events`."""
