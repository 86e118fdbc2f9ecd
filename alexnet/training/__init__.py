"""Training as printed: update rule, schedules, resumable state and the loop."""
