"""Several networks of different seeds and the average of what they say (paper, table 2: 5 CNNs)."""
