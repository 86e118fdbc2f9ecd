"""Where the pipeline's files lie, relative to the project, unless a command is told otherwise."""

from pathlib import Path

# What a stage that was stopped continues from, and what else it remembers.
STATE = Path(".state")
PARAMS_FILE = Path("params.yaml")
MACHINE = Path("machine.yaml")
CHECKED = Path("data/checked")
SAMPLE = Path("data/sample")
INDEX = Path("data/index")
RECORDS = Path("data/records")
STATISTICS = Path("data/statistics.npz")
WEIGHTS = Path("models/alexnet.safetensors")
# A network that comes with the repository.
PRETRAINED = Path("pretrained/tiny-imagenet.safetensors")
PREDICTIONS = Path("data/predictions")
RETRIEVAL = Path("data/retrieval")
REPORTS = Path("reports")
# Which pictures were left out, and why.
SKIPPED = REPORTS / "skipped.csv"
