"""Write the report: our error rates beside the paper's, figures, and how it came to be."""

from typing import Annotated

import typer

from alexnet.core.places import PARAMS_FILE, REPORTS, copied_project
from alexnet.core.stage import ParamsFile, run
from alexnet.core.terminal import say
from alexnet.report.facts import ResultFiles, read_facts
from alexnet.report.rates import terminal_summary
from alexnet.report.report import write_report


def main(
    params: ParamsFile = PARAMS_FILE,
    summary_only: Annotated[
        bool, typer.Option("--summary-only", help="print the error table, and write no files")
    ] = False,
) -> None:
    """Write report.html, report.md, figures/ and tables, and print the error table."""
    facts = read_facts(ResultFiles(params=params))
    if not summary_only:
        write_report(facts, REPORTS)
    for line in terminal_summary(facts).splitlines():
        say(line)
    say("")
    page = REPORTS / "report.html"
    # DVC removes the copy in which it runs an experiment.
    say(f"The report: {page}, after dvc exp apply" if copied_project() else f"The report: {page.resolve()}")


if __name__ == "__main__":
    run(main)
