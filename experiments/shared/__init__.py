"""What the experiments share: rows, outcomes, intervals, pages."""
