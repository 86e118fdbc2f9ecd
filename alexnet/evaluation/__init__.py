"""Error rates, counted over patches and pictures, and what lies behind them."""
