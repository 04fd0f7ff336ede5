"""`/api/task_runs` and `/api/task_run_states`."""
