"""The scheduler's loops. Each module has one idempotent step; `scheduler` runs them all.

A step gets the time as an argument (always the database clock), so that it can be tested without
the loop. Any number of scheduler processes may run.
"""
