"""What comes of kills and of damaged files, in every stage and in every file that a stage leaves.

`python tests/faults.py --kills 100 --damages 100 --seed 1` makes a tiny project, disturbs it and prints how
often each outcome came. A kill is followed by the same stage again; damage by every stage that reads the
file, started by hand, and then by `dvc repro`. tests/pipeline/test_faults.py does a few of each.
"""

import argparse
import contextlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
from conftest import Project, make_project, wait_until
from ruamel.yaml import YAML

from alexnet.core import durations
from alexnet.core.durations import read_durations

# What each stage makes that is equal, byte for byte, whenever it is made. Its other files hold times.
PROVEN = {
    "sample": ["data/sample"],
    "index": ["data/index"],
    "preprocess": ["data/records", "reports/data.json", "reports/skipped.csv"],
    "rgb_pca": ["data/statistics.npz", "reports/rgb_pca.json"],
    "train": ["models/alexnet.safetensors"],
    "evaluate": ["data/predictions", "reports/metrics.json"],
    "retrieve": ["data/retrieval"],
    "report": ["reports/per_class.csv", "reports/confusion.csv", "reports/figures", "reports/report.md"],
}
# Who reads the state; the stages' other files are read by those that declare them in dvc.yaml.
READS_STATE = {
    ".state/preprocess": ["preprocess"],
    ".state/index": ["index"],
    ".state/train": ["train"],
    ".state/verified": ["train"],
    ".state/durations": ["report"],
}
# What a stage's imports take, which its recorded time leaves out.
STARTING_SECONDS = 2.0
WITH_WORKERS = ("sample", "preprocess")
SAME, REMADE, REFUSED, USED, OTHER = "same bytes", "named and remade", "named and refused", "used", "else"
OUTCOMES = (SAME, REMADE, REFUSED, USED, OTHER)
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)


def prepare(project: Project) -> None:
    """Run the whole pipeline, so that all outputs and states are there, with several states of a training."""
    project.set("train.epochs", 4)
    # A training goes on from the states of a shorter one, which had another loader.
    project.run("rm", "-rf", ".state/train")
    for key, value in {"loader": "torch", "checkpoint_minutes": 0.0005, "workers": 2}.items():
        project.set(key, value, "machine.yaml")
    project.repro()


def stage(name: str) -> tuple[str, ...]:
    return (sys.executable, "-m", f"stages.{name}")


def contents(project: Project, stages: list[str]) -> dict[str, bytes]:
    """Return what the `stages` made, by path."""
    found: dict[str, bytes] = {}
    for place in (path for name in stages for path in PROVEN[name]):
        path = project.folder / place
        files = sorted(path.rglob("*")) if path.is_dir() else [path]
        found |= {str(file): file.read_bytes() for file in files if file.is_file()}
    return {str(Path(name).relative_to(project.folder)): content for name, content in found.items()}


@contextlib.contextmanager
def copy_of(project: Project) -> Iterator[Project]:
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        shutil.copytree(project.folder, folder, symlinks=True, dirs_exist_ok=True)
        yield Project(Path(folder))


# --- kills ----------------------------------------------------------------------------------------


def kill(project: Project, draw: random.Random) -> tuple[str, str]:
    """Kill a stage, one of its workers or the `dvc` that runs it, at a random moment, and run it again.

    Returns:
        What was killed, and the outcome.
    """
    name = draw.choice(list(PROVEN))
    who = draw.choice(("stage", "dvc", *(("worker",) if name in WITH_WORKERS else ())))
    number = draw.choice(SIGNALS)
    with copy_of(project) as copy:
        copy.set("shuffle", draw.choice(("seek", "scatter")), "machine.yaml")
        expected = contents(copy, [name])
        _forget(copy, name)
        command = ["dvc", "repro", "-f", "-s", name] if who == "dvc" else list(stage(name))
        running = copy.start(*command, start_new_session=True)
        seconds = STARTING_SECONDS + read_durations(copy.folder / durations.FOLDER)[name]
        moment = time.monotonic() + draw.uniform(0, seconds)
        family = _watched(running, moment)
        _kill(running, who, number)
        running.wait()
        _, alive = psutil.wait_procs(family, timeout=20)
        # It may have been done, or have survived: a worker leaves Ctrl-C to its stage.
        again = copy.run(*stage(name), check=False) if running.returncode else None
        if alive or (again and again.returncode):
            print(f"{name}, {who}, {number.name}: {again and again.stderr[-300:]}", file=sys.stderr)
            outcome = OTHER
        else:
            outcome = SAME if contents(copy, [name]) == expected else USED
    return f"{who} {number.name}", outcome


def _forget(project: Project, name: str) -> None:
    """Remove what `name` has made, as DVC does before it runs a stage, and what it would continue from."""
    for place in (*PROVEN[name], f".state/{name}"):
        path = project.folder / place
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _watched(running: subprocess.Popen[str], moment: float) -> list[psutil.Process]:
    """Return the processes that `running` has started until `moment`."""
    family: set[psutil.Process] = set()
    while time.monotonic() < moment and running.poll() is None:
        with contextlib.suppress(psutil.Error):
            family |= set(psutil.Process(running.pid).children(recursive=True))
        time.sleep(0.01)
    return list(family)


def _kill(running: subprocess.Popen[str], who: str, number: signal.Signals) -> None:
    with contextlib.suppress(psutil.Error, IndexError):
        target = psutil.Process(running.pid).children()[-1] if who == "worker" else running
        target.send_signal(number)


# --- damage ---------------------------------------------------------------------------------------


def half_prepared(project: Project) -> None:
    """Leave a preparing stage that was killed in the middle."""
    _forget(project, "preprocess")
    running, state = project.start(*stage("preprocess")), project.folder / ".state/preprocess"
    wait_until(lambda: running.poll() is not None or len(list(state.glob("*/*.parquet"))) >= 3)
    running.kill()
    running.wait()


def files_left(project: Project) -> list[Path]:
    """Return every file that a stage leaves, relative to the project."""
    found = []
    for place in ("data", "models", "reports", ".state"):
        found += [path for path in (project.folder / place).rglob("*") if path.is_file()]
    named = (path.relative_to(project.folder) for path in found)
    return sorted(path for path in named if path.name != "lock")


def damage(project: Project, draw: random.Random) -> tuple[str, str]:
    """Change a byte of a random file, or cut it short, and run what reads it.

    Returns:
        Where the file lies, and the worst outcome of a stage by hand and of `dvc repro`.
    """
    with copy_of(project) as copy:
        files = files_left(copy)
        if draw.random() < 0.2:
            half_prepared(copy)
            files = [file for file in files_left(copy) if file.is_relative_to(".state/preprocess")]
        path = draw.choice(files)
        area = "/".join(path.parts[:2]) if path.parts[0] != "reports" else "reports"
        content = bytearray((copy.folder / path).read_bytes())
        if not content:
            return area, SAME
        place = draw.randrange(len(content))
        if draw.random() < 0.3:
            del content[place:]
        else:
            content[place] ^= 1 << draw.randrange(8)
        # Written over, not replaced, as a disk does it.
        (copy.folder / path).write_bytes(content)
        found = [_by_hand(copy, project, path, name) for name in _readers(path)]
        found.append(_by_dvc(copy, project, path))
    worst = max(found, key=OUTCOMES.index)
    if worst in (USED, OTHER):
        print(f"{path}, byte {place} of {len(content)}: {worst}", file=sys.stderr)
    return area, worst


def _readers(path: Path) -> list[str]:
    for place, readers in READS_STATE.items():
        if path.is_relative_to(place):
            return readers
    stages: dict[str, Any] = YAML(typ="safe").load(Path("dvc.yaml"))["stages"]
    # Only DVC knows what the raw pictures were. The report comes first, as it shows how long the others took.
    return [
        name
        for name, about in sorted(stages.items(), key=lambda stage: stage[0] != "report")
        if name in PROVEN and name != "index" and any(path.is_relative_to(place) for place in about["deps"])
    ]


def _by_hand(copy: Project, project: Project, path: Path, name: str) -> str:
    done = copy.run(*stage(name), check=False)
    said = done.stdout + done.stderr
    named = path.name in said or str(path.parent) in said
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        return REFUSED if lines and lines[-1].startswith("error: ") and named else OTHER
    told = named and any(word in said for word in ("damaged", "left out", "cannot be read"))
    if contents(copy, [name]) != contents(project, [name]):
        # What is damaged may be left out.
        return REFUSED if told else USED
    return REMADE if told else SAME


def _by_dvc(copy: Project, project: Project, path: Path) -> str:
    done = copy.run("dvc", "repro", check=False)
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
        named = any(path.name in line or str(path.parent) in line for line in lines)
        if not named:
            print(done.stderr[-500:], file=sys.stderr)
        return REFUSED if named else OTHER
    made = [name for name in PROVEN if name != "report"]
    return SAME if contents(copy, made) == contents(project, made) else USED


def main() -> None:
    """Disturb as often as asked, and print the outcomes."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--kills", type=int, default=100)
    options.add_argument("--damages", type=int, default=100)
    options.add_argument("--seed", type=int, default=1)
    given = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        project = make_project(Path(folder))
        prepare(project)
        for what, count in (("kill", given.kills), ("damage", given.damages)):
            found: Counter[tuple[str, str]] = Counter()
            for number in range(count):
                draw = random.Random(f"{given.seed} {what} {number}")
                came = kill(project, draw) if what == "kill" else damage(project, draw)
                print(f"{what} {number}: {': '.join(came)}", file=sys.stderr, flush=True)
                found[came] += 1
            print_table(what, found)


def print_table(what: str, found: Counter[tuple[str, str]]) -> None:
    print(f"\n{what:24}" + "".join(f"{outcome:>20}" for outcome in OUTCOMES))
    for area in (*sorted({area for area, _ in found}), "all"):
        own = [result for (place, result), n in found.items() for _ in range(n) if area in (place, "all")]
        counts = [own.count(outcome) for outcome in OUTCOMES]
        print(f"{area:24}" + "".join(f"{count:>20}" for count in counts), flush=True)


if __name__ == "__main__":
    main()
