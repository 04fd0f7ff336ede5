"""`/api/flow_runs` and `/api/flow_run_states`."""
