"""Measure the mean image and the principal components of RGB over the training records."""

from __future__ import annotations

from pathlib import Path

from alexnet.data import statistics
from alexnet.files import write_json
from alexnet.params import machine as machines
from alexnet.processes import executor
from stages.options import MACHINE, RECORDS, REPORTS, STATISTICS, MachineFile, run


def main(
    machine: MachineFile = MACHINE,
    records: Path = RECORDS,
    out: Path = STATISTICS,
    summary: Path = REPORTS / "rgb_pca.json",
) -> None:
    """Write all statistics to `out` and the few that people compare to `summary`."""
    place = machines.read(machine)
    with executor(place) as pool:
        measured = statistics.measure(records, pool, place.progress)
    statistics.write(out, measured)
    write_json(summary, measured.summary())


if __name__ == "__main__":
    run(main)
