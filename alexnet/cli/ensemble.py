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
    from alexnet.evaluation.ensemble import refuse_duplicates
    from alexnet.evaluation.intervals import exact_interval
    from alexnet.evaluation.predictions import average_predictions, load_predictions, save_predictions

    several = [load_predictions(folder) for folder in predictions]
    refuse_duplicates(dict(zip(map(str, predictions), several, strict=True)))
    together = average_predictions(several, [str(folder) for folder in predictions])
    if save is not None:
        save_predictions(save, together)
    if not together.labelled:
        say(f"{len(together):,} pictures of {together.split}, without labels: no error rates")
        return
    name = f"{len(several)} averaged"
    width = max(len(name), *(len(str(folder)) for folder in predictions))
    say(f"{f'{len(together):,} pictures of {together.split}':{width}}  {'top-1 error':26}top-5 error")
    for label, one in (*zip(map(str, predictions), several, strict=True), (name, together)):
        cells = []
        for k in (1, 5):
            error = float(one.wrong(k, share_ties).mean())
            low, high = exact_interval(error, len(one))
            cells.append(f"{error:.1%} ({low:.1%} to {high:.1%})")
        say(f"{label:{width}}  {cells[0]:26}{cells[1]}")
