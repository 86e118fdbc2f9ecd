"""Look after the records: check them, and show what training sees."""

from pathlib import Path
from typing import Annotated

import typer

from alexnet.core.errors import UserError, shown_plainly
from alexnet.core.places import INDEX, PARAMS_FILE, RECORDS, RETRIEVAL, SKIPPED, STATISTICS
from alexnet.core.terminal import say

app = typer.Typer(no_args_is_help=True, help="Check the records, and show what training sees.")


def verify(
    records: Annotated[Path, typer.Option(help="the records to check")] = RECORDS,
    library: Annotated[
        Path, typer.Option(help="the folder with the features, checked if it is there")
    ] = RETRIEVAL,
    index: Annotated[Path, typer.Option(help="the index to compare with")] = INDEX,
    skipped: Annotated[Path, typer.Option(help="the list of skipped pictures")] = SKIPPED,
) -> None:
    """Check the records byte by byte against the index and the checksums, and list every error.

    The features of the retrieve stage are compared with their checksum too.
    """
    import pandas as pd

    from alexnet.core.files import exists
    from alexnet.ingest.verify import find_problems
    from alexnet.retrieval.library import find_damaged_features
    from alexnet.store.counts import read_skipped
    from alexnet.store.index import read_index
    from alexnet.store.verified import noting_verified

    left_out = read_skipped(skipped) if exists(skipped) else pd.DataFrame(columns=["split", "name"])
    with noting_verified(records):
        found = [*find_problems(records, read_index(index), left_out), *find_damaged_features(library)]
        for problem in found:
            say(problem)
        if found:
            raise UserError(
                f"{records}: {len(found)} problems. Run dvc repro -f preprocess to make it again."
            )
    say(f"{records}: every shard, picture and label is as it should be")


def show(
    records: Annotated[Path, typer.Option(help="the records")] = RECORDS,
    index: Annotated[Path, typer.Option(help="the index, for the names of the classes")] = INDEX,
    statistics: Annotated[Path, typer.Option(help="the file written by the rgb_pca stage")] = STATISTICS,
    params: Annotated[
        Path, typer.Option(help="the parameter file with the augment and train sections")
    ] = PARAMS_FILE,
    epoch: Annotated[int, typer.Option(min=1, help="the epoch whose first patches are shown")] = 1,
    pictures: Annotated[int, typer.Option(min=1, max=200, help="number of pictures, one in each row")] = 8,
    out: Annotated[Path, typer.Option(help="the PNG to write")] = Path("contact_sheet.png"),
) -> None:
    """Write a contact sheet (PNG) of training patches, without and with each augmentation."""
    from alexnet.core.files import replacing
    from alexnet.core.params import read
    from alexnet.feed.contact_sheet import contact_sheet
    from alexnet.feed.order import training_epoch
    from alexnet.feed.params import Augment
    from alexnet.store.index import read_classes
    from alexnet.store.records import open_records
    from alexnet.store.statistics import read_statistics
    from alexnet.training.params import Train

    training, augment, train = open_records(records, "train"), read(params, Augment), read(params, Train)
    sheet = contact_sheet(
        training,
        read_classes(index)["words"].tolist(),
        read_statistics(statistics),
        augment,
        training_epoch(train.seed, epoch, len(training), augment, train.order),
        epoch,
        pictures,
    )
    with replacing(out) as temporary:
        sheet.save(temporary, "PNG")
    say(str(out))


for command in (verify, show):
    app.command()(shown_plainly(command))
