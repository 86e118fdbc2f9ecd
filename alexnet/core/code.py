"""Which code a stage runs, as its pipeline file declares it."""

import hashlib
from pathlib import Path

from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]
CODE = ("alexnet", "experiments", "stages")


def sha256_of_code(stage: str, pipeline: str = "dvc.yaml") -> str:
    """Return the SHA-256 of all code on which `stage` depends, in hexadecimal.

    Resumable state carries it, so that no other code resumes from that state. The dependencies are those that
    DVC reads, so a file cannot count for one and not for the other. Where the package is installed without
    its pipeline, all of it counts.

    Args:
        stage: its name in `pipeline`.
        pipeline: a ``dvc.yaml``, relative to the project's root.
    """
    path = ROOT / pipeline
    declared = ["alexnet"]
    if path.exists():
        declared = YAML(typ="safe").load(path)["stages"][stage]["deps"]
    code = hashlib.sha256()
    for name in sorted(name for name in declared if name.partition("/")[0] in CODE):
        files = sorted((ROOT / name).rglob("*.py")) if (ROOT / name).is_dir() else [ROOT / name]
        for file in files:
            code.update(file.read_bytes())
    return code.hexdigest()
