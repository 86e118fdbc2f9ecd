"""Error rates, counted over patches and pictures."""
