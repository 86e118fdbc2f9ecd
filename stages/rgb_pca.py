"""Measure the mean image and the principal components of RGB over the training records."""

from pathlib import Path

from alexnet.core.places import RECORDS, REPORTS, STATISTICS
from alexnet.core.stage import run
from alexnet.store.statistics import measure_records


def main(records: Path = RECORDS, out: Path = STATISTICS, summary: Path = REPORTS / "rgb_pca.json") -> None:
    """Write all statistics to `out` and the few that people compare to `summary`."""
    measure_records(records=records, out=out, summary=summary)


if __name__ == "__main__":
    run(main)
