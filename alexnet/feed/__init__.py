"""From the store to batches: which picture comes when, and what of it is shown."""
