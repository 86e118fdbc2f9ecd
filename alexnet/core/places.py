"""Where the pipeline's files lie, relative to the project, unless a command is told otherwise."""

from pathlib import Path


def copied_project() -> Path | None:
    """Return the project's folder if this is one of the copies in which DVC runs experiments, else None.

    DVC runs queued experiments, and those with ``--temp``, in a copy without untracked files, and removes it.
    """
    folders = (Path.cwd(), *Path.cwd().parents)
    copy = next((folder for folder in folders if folder.parts[-4:-1] == (".dvc", "tmp", "exps")), None)
    return copy.parents[3] if copy is not None else None


# What a stage that was stopped continues from, and what else it remembers.
STATE = Path(".state")
# What of it outlasts such a copy.
LASTING = (copied_project() or Path()) / STATE
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
