"""Measure the mean image and the principal components of RGB over the training records."""

from __future__ import annotations

from pathlib import Path

from alexnet.core.files import write_json
from alexnet.core.machine import read_machine
from alexnet.core.processes import executor
from alexnet.core.stage import MACHINE, RECORDS, REPORTS, STATISTICS, MachineFile, run
from alexnet.store.statistics import measure_statistics, write_statistics


def main(
    machine: MachineFile = MACHINE,
    records: Path = RECORDS,
    out: Path = STATISTICS,
    summary: Path = REPORTS / "rgb_pca.json",
) -> None:
    """Write all statistics to `out` and the few that people compare to `summary`."""
    place = read_machine(machine)
    with executor(place) as pool:
        measured = measure_statistics(records, pool, place.progress)
    write_statistics(out, measured)
    write_json(summary, measured.summary())


if __name__ == "__main__":
    run(main)
