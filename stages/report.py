"""Write the report: our error rates beside the paper's, curves, kernels and how it came to be."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from alexnet.params.base import read
from alexnet.params.report import Report
from alexnet.reporting.page import write_report
from alexnet.reporting.results import ResultFiles, read_results
from alexnet.reporting.tables import terminal_summary
from stages.options import PARAMS, REPORTS, WEIGHTS, Params, run


def main(
    params: Params = PARAMS,
    weights: Path = WEIGHTS,
    metrics: Path = REPORTS / "metrics.json",
    data: Path = REPORTS / "data.json",
    skipped: Path = REPORTS / "skipped.csv",
    rgb_pca: Path = REPORTS / "rgb_pca.json",
    logs: Path = REPORTS / "training",
    out: Path = REPORTS,
    summary_only: Annotated[bool, typer.Option("--summary-only", help="print, write nothing")] = False,
) -> None:
    """Write report.html, report.md and figures/ into `out` and print the error table."""
    results = read_results(
        ResultFiles(
            params=params,
            metrics=metrics,
            data=data,
            skipped=skipped,
            rgb_pca=rgb_pca,
            history=logs / "history.csv",
            run=logs / "run.json",
            model=weights,
        )
    )
    page = out / "report.html"
    if not summary_only:
        write_report(results, read(params, Report), page, out / "report.md", out / "figures")
    print(terminal_summary(results))
    print(f"\nThe report: {page.resolve()}")


if __name__ == "__main__":
    run(main)
