"""Measurements of speed, run by hand: `python -m benchmarks.NAME`."""
