"""Gather what the report shows of other runs: the experiments' pages, and several networks averaged."""

from __future__ import annotations

from pathlib import Path

from alexnet.files import write_json
from alexnet.pages import find_pages
from alexnet.params.base import read
from alexnet.params.evaluate import Evaluate
from alexnet.params.report import Report
from stages.options import PARAMS, PREDICTIONS, REPORTS, Params, run


def main(
    params: Params = PARAMS,
    predictions: Path = PREDICTIONS,
    experiments: Path = REPORTS / "experiments",
    out: Path = REPORTS / "gathered.json",
) -> None:
    """Write titles of pages and error rates of averaged predictions to `out`."""
    others, ensemble = read(params, Report).ensemble, None
    if others:
        # Not above: the stage runs with every `dvc repro`, and this imports torch, for seconds.
        from alexnet.evaluation.ensemble import count_ensemble

        ensemble = count_ensemble(predictions, others, read(params, Evaluate).ties == "fractional")
    write_json(out, {"experiments": find_pages(experiments), "ensemble": ensemble})


if __name__ == "__main__":
    run(main)
