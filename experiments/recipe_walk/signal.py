"""How much of a picture reaches the outputs before any training: python -m experiments.recipe_walk.signal

The measure is how far fc8's outputs differ between training pictures: their standard deviation, averaged
over the outputs. It is taken at the walk's width and at width 1, where the published weights are as
published, so it also says whether the narrow networks start as the full ones do.
"""

import pandas as pd
import torch
from torch import Tensor

from alexnet.core.files import write_table
from alexnet.core.machine import read_machine
from alexnet.core.places import MACHINE, RECORDS, STATISTICS
from alexnet.core.stage import run
from alexnet.feed.loader import open_loader
from alexnet.feed.order import in_storage_order
from alexnet.model.initial import initialise
from alexnet.model.input import Batch
from alexnet.model.network import AlexNet
from alexnet.model.params import Model
from alexnet.store.records import open_records
from alexnet.store.statistics import read_statistics
from experiments.recipe_walk.walk import plan
from experiments.shared.plans import RUNS, Values, nested

OUT = RUNS / "recipe_walk/signal.csv"
PICTURES = 64


@torch.no_grad()
def signal(model: Model, seed: int, mean_image: Tensor, pictures: Batch, classes: int) -> float:
    """Return the deviation of fc8's outputs between `pictures` in a freshly drawn network."""
    network = AlexNet(model, classes).eval()
    initialise(network, seed)
    network.input.mean_image.copy_(mean_image)
    return float(network(pictures).std(0).mean())


def main() -> None:
    """Write each row's deviation at both widths."""
    (walk, rows), training = plan(), open_records(RECORDS, "train")
    mean_image = torch.from_numpy(read_statistics(STATISTICS).mean_image)
    classes = int(training.labels.max()) + 1
    loader = open_loader(read_machine(MACHINE), training, PICTURES, torch.device("cpu"))
    pictures = next(iter(loader.batches(in_storage_order(len(training)))))
    measured: dict[str, float] = {}

    def measure(values: Values, width: float) -> float:
        model = Model.model_validate(nested({**values, "model.width": width})["model"])
        # Rows that differ in how they are trained begin alike.
        if (key := model.model_dump_json()) not in measured:
            measured[key] = signal(model, walk.seeds[0], mean_image, pictures, classes)
        return measured[key]

    found = [(name, measure(row, row["model.width"]), measure(row, 1.0)) for name, row in rows.items()]
    write_table(OUT, pd.DataFrame(found, columns=["row", "signal", "signal_at_width_1"]))


if __name__ == "__main__":
    run(main)
