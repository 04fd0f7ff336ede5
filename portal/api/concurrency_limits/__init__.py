"""`/api/concurrency_limits`, by tag too, and `/api/v2/concurrency_limits`: three faces of the same limits."""
