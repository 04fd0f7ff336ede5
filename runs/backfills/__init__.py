"""Backfills: `plan` says which runs are wanted, `steer` makes and changes them, `release` starts the runs."""
