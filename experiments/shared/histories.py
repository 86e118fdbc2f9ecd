"""How a training went, from what it left on disk."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd


def read_history(run: Path) -> pd.DataFrame:
    """Return a run's epochs; empty before the first has ended."""
    path = run / "training" / "history.csv"
    return pd.read_csv(path) if path.exists() else pd.DataFrame()


def first_epoch_at(errors: Sequence[float], target: float) -> int | None:
    """Return the first epoch (from 1) whose error is at most `target`, or None."""
    return next((epoch for epoch, error in enumerate(errors, 1) if error <= target), None)
