"""What the experiments share: planned runs, what finished ones left, intervals, parts of pages."""
