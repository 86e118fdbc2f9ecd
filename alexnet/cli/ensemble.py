"""Average what several networks said of the same pictures."""

from pathlib import Path
from typing import Annotated

import typer

from alexnet.core.terminal import say


def ensemble(
    predictions: Annotated[list[Path], typer.Argument(help="folders written by the evaluate stage")],
    share_ties: Annotated[
        bool, typer.Option(help="share the credit among classes with equal scores")
    ] = False,
    save: Annotated[Path | None, typer.Option(help="write the averaged predictions into this folder")] = None,
) -> None:
    """Print the error rates of each run and of their averaged predictions; no network is run.

    `dvc get . data/predictions --rev REVISION -o FOLDER` fetches those of another commit or experiment.
    """
    from alexnet.evaluation.intervals import exact_interval
    from alexnet.evaluation.predictions import (
        average_predictions,
        load_predictions,
        refuse_duplicates,
        save_predictions,
    )

    several, names = [load_predictions(folder) for folder in predictions], [*map(str, predictions)]
    refuse_duplicates(zip(names, several, strict=True))
    together = average_predictions(several, names)
    if save is not None:
        save_predictions(save, together)
    if not together.labelled:
        say(f"{len(together):,} pictures of {together.split}, without labels: no error rates")
        return
    name = f"{len(several)} averaged"
    width = max(map(len, (name, *names)))
    say(f"{f'{len(together):,} pictures of {together.split}':{width}}  {'top-1 error':26}top-5 error")
    for label, one in (*zip(names, several, strict=True), (name, together)):
        cells = []
        for k in (1, 5):
            error = float(one.wrong(k, share_ties).mean())
            low, high = exact_interval(error, len(one))
            between = "zero by definition" if len(one.classes) <= k else f"{low:.1%} to {high:.1%}"
            cells.append(f"{error:.1%} ({between})")
        say(f"{label:{width}}  {cells[0]:26}{cells[1]}")
