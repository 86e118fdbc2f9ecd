"""What people do after the first run, as `docs/using.md` shows: queue, compare, average, apply, go back."""

import re
import time
from pathlib import Path

from conftest import ROOT, Project, copied
from documents import block_with, commands_in

QUIET = "index:\n\talways changed\n"


def test_the_second_hour(reproduced: Project, tmp_path: Path) -> None:
    project = copied(reproduced, tmp_path)
    project.set("loader", "torch", "machine.yaml")
    committed = results(project)
    said: dict[str, str] = {}
    for command in commands_in(block_with("--queue", "console")):
        said[" ".join(command)] = run(project, command)
        if command[:3] == ("dvc", "queue", "start"):
            wait_for_the_queue(project)
        if command[:3] == ("dvc", "exp", "apply"):
            assert all(now != before for now, before in zip(results(project), committed, strict=True))
            assert "train.seed" in project.run("dvc", "params", "diff").stdout

    compared = said["make compare"]
    rows = {name: row for row in compared.splitlines() for name in re.findall(r"\[(net-\d)\]", row)}
    assert rows.keys() == {"net-1", "net-2", "net-3"}
    assert all(cells(row)[1] == "Success" for row in rows.values())
    header = cells(next(line for line in compared.splitlines() if line.startswith("| Experiment")))
    # Columns that are equal everywhere, and what nobody compares by, are left out.
    assert not {"images", "train.batch_size", "models"} & {*header}
    assert [cells(rows[name])[header.index("train.seed")] for name in sorted(rows)] == ["2", "3", "4"]
    assert len({cells(row)[header.index("loss")] for row in rows.values()}) == 3

    averaged = said["alexnet ensemble data/first data/second"].splitlines()
    names = [line.split("  ")[0] for line in averaged]
    assert names == ["12 pictures of val", "data/first", "data/second", "2 averaged"]
    assert averaged[-1].endswith("0.0% (zero by definition)")
    # Gone back.
    assert results(project) == committed
    assert project.run("dvc", "status").stdout == QUIET
    assert project.run("git", "status", "--short").stdout == ""


def results(project: Project) -> tuple[bytes, bytes]:
    names = ("models/alexnet.safetensors", "reports/metrics.json")
    weights, metrics = ((project.folder / name).read_bytes() for name in names)
    return weights, metrics


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def run(project: Project, command: tuple[str, ...]) -> str:
    """Run a command of the documents in a project that has no environment of its own."""
    program, *arguments = command
    if program == "make":
        arguments = ["-f", str(ROOT / "Makefile"), "VENV=.venv", "-o", ".venv/installed", *arguments]
    if program == "alexnet":
        program, arguments = "python", ["-m", "alexnet.cli", *arguments]
    if "--queue" in arguments:
        # The later stages would take longer than all the rest.
        arguments.append("evaluate")
    return project.run(program, *arguments).stdout


def wait_for_the_queue(project: Project) -> None:
    deadline = time.monotonic() + 300
    while re.search("Queued|Running", status := project.run("dvc", "queue", "status").stdout):
        assert time.monotonic() < deadline, status
        time.sleep(1)
    assert status.count("Success") == 3, status
