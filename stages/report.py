"""Write the report: our error rates beside the paper's, figures, and how it came to be."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from alexnet.params.base import read
from alexnet.params.report import Report
from alexnet.reporting.page import write_report
from alexnet.reporting.reading import ResultFiles, read_results
from alexnet.reporting.summary import terminal_summary
from stages.options import PARAMS, PREDICTIONS, RECORDS, REPORTS, STATISTICS, WEIGHTS, Params, run


def main(
    params: Params = PARAMS,
    weights: Path = WEIGHTS,
    records: Path = RECORDS,
    statistics: Path = STATISTICS,
    predictions: Path = PREDICTIONS,
    out: Path = REPORTS,
    summary_only: Annotated[bool, typer.Option("--summary-only", help="print, write nothing")] = False,
) -> None:
    """Write report.html, report.md, figures/ and tables into `out`, and print the error table."""
    results = read_results(
        ResultFiles(
            params=params,
            model=weights,
            records=records,
            statistics=statistics,
            predictions=predictions,
        )
    )
    if not summary_only:
        write_report(results, read(params, Report), out)
    print(terminal_summary(results))
    print(f"\nThe report: {(out / 'report.html').resolve()}")


if __name__ == "__main__":
    run(main)
