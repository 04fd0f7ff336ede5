"""Benchmarks: `make bench` prints figures. Nothing here passes or fails."""
