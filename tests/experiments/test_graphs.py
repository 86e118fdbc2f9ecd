"""Every experiment's graph at toy size, over the same prepared pictures."""

import json
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from conftest import ROOT, Project, stages_run
from imports import OWN, code_of
from ruamel.yaml import YAML
from tiny import told

from alexnet.core.params import load_yaml
from alexnet.store.index import read_classes
from experiments import run
from experiments.run import places, shares

# Columns share all kernels evenly at this width, also where one column has half as many.
TOY = {"train.epochs": 2, "model.width": 0.125, "train.batch_size": 8}
EXPERIMENTS = ("ablations", "ensemble", "figure1", "pretraining", "recipe_walk")


def pipeline(name: str) -> Path:
    return Path(f"experiments/{name}/pipeline.yaml")


def stages_of(path: str | Path) -> dict[str, Any]:
    stages: dict[str, Any] = YAML(typ="safe").load((ROOT / path).read_text())["stages"]
    return stages


def covered(file: str, deps: set[str]) -> bool:
    return any(file == dep or file.startswith(f"{dep}/") for dep in deps)


def needed_by(module: str) -> set[str]:
    """Return the code of a module, but for what only marks a folder as a package."""
    return {file for file in code_of(module, ROOT) if not file.endswith("__init__.py")}


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_stages_depend_on_the_code_that_they_run(name: str) -> None:
    own = stages_of("dvc.yaml")
    for found in stages_of(pipeline(name)).values():
        module = found["cmd"].split(" -m ")[1].split()[0]
        declared = {dep for dep in found["deps"] if dep.startswith(OWN)}
        if module.startswith("stages."):
            theirs = own[module.removeprefix("stages.")]["deps"]
            assert declared == {dep for dep in theirs if dep.startswith(OWN)}
            continue
        needed = needed_by(module)
        assert {file for file in needed if not covered(file, declared)} == set()
        assert {dep for dep in declared if not any(covered(file, {dep}) for file in needed)} == set()


def test_states_of_figure_1_are_named_by_all_code_that_decides_their_numbers() -> None:
    declared = set(stages_of(pipeline("figure1"))["train"]["deps"])
    for module in ("sweep", "norm"):
        needed = needed_by(f"experiments.figure1.{module}")
        undeclared = {file for file in needed if not covered(file, declared)}
        assert undeclared == {f"experiments/figure1/{module}.py"}


def test_runs_are_dealt_out_whole() -> None:
    stages = ["check", "train@1-a", "train@1-b", "train@2-a", "evaluate@1-a", "evaluate@1-b", "page"]
    assert shares(stages, 2) == [["train@1-a", "evaluate@1-a", "train@2-a"], ["train@1-b", "evaluate@1-b"]]
    assert shares(["train@1"], 2) == [["train@1"], []]


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_only_a_pipeline_whose_runs_need_nothing_of_each_other_is_dealt_out(name: str) -> None:
    stages = [*stages_of(pipeline(name))]
    if name in ("ablations", "ensemble"):
        run.refuse_other_shapes(stages, pipeline(name))
        return
    found = f"--at-once: {pipeline(name)} has the stages {', '.join(stages)}; allowed: check, train,"
    with told(f"^{re.escape(found)}"):
        run.refuse_other_shapes(stages, pipeline(name))


@pytest.mark.parametrize(
    ("left", "gpus", "given"),
    [
        (None, 2, ["0", "1", "0"]),
        ("2,3", 2, ["2", "3", "2"]),
        ("GPU-8932f937, 5", 2, ["GPU-8932f937", "5", "GPU-8932f937"]),
        ("", 0, [None] * 3),
        (None, 0, [None] * 3),
    ],
)
def test_each_process_has_one_of_the_gpus_that_are_left(
    left: str | None, gpus: int, given: list[str | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if left is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", left)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    assert [environment.get("CUDA_VISIBLE_DEVICES") for _, environment in places(3)] == given


@pytest.fixture(scope="module")
def project(project: Project) -> Project:
    """A tiny project whose pictures are prepared."""
    project.set("loader", "torch", "machine.yaml")
    return project


def change(project: Project, name: str, **values: Any) -> None:
    section = "walk" if name == "recipe_walk" else name
    for key, value in values.items():
        project.set(f"{section}.{key.replace('__', '.')}", value, f"experiments/{name}/params.yaml")


def started(project: Project, name: str) -> str:
    """Run an experiment and return what it printed."""
    done = project.run("python", "-m", "experiments.run", name)
    return done.stdout + done.stderr


def own_stages(output: str) -> list[str]:
    """Return which stages of an experiment ran, sorted."""
    return sorted(name.rpartition(":")[2] for name in stages_run(output) if ":" in name)


def trainings_to_come(project: Project, name: str) -> set[str]:
    """Return which trainings DVC would run again."""
    told = json.loads(project.run("dvc", "status", "--json", f"experiments/{name}/dvc.yaml").stdout)
    return {found for stage in told if (found := stage.rpartition(":")[2]).startswith("train@")}


def table(project: Project, name: str) -> pd.DataFrame:
    return pd.read_csv(project.folder / f"reports/experiments/{name}.csv")


def page(project: Project, name: str) -> str:
    return (project.folder / f"reports/experiments/{name}.md").read_text()


def test_ablations_two_at_a_time_and_one_row_again(project: Project) -> None:
    change(project, "ablations", seeds=[1], alike=TOY, run=["full", "tanh"])
    done = project.run("python", "-m", "experiments.run", "ablations", "--at-once", "2")
    runs = [f"{stage}@1-{row}" for stage in ("train", "evaluate") for row in ("full", "tanh")]
    assert own_stages(done.stdout + done.stderr) == sorted(["check", *runs, "page"])
    found = table(project, "ablations")
    assert (found["row"].tolist(), found["epochs"].tolist()) == (["full", "tanh"], [2, 2])
    # A row that changes is trained again, alone; a row that does not run concerns no training.
    rows = "experiments/ablations/rows.yaml"
    project.set("ablations.rows.tanh.values", {"model.activation": "abs_tanh"}, rows)
    project.set("ablations.rows.no-conv3.values", {"model.leave_out": "conv4"}, rows)
    again = started(project, "ablations")
    assert own_stages(again) == ["check", "evaluate@1-tanh", "page", "train@1-tanh"]
    assert "ablations.md: will be replaced" in again
    assert "will be replaced" not in done.stdout
    assert "2 of 2 runs are finished." in page(project, "ablations")
    assert project.run("git", "status", "--porcelain", "data").stdout == ""


def test_the_walk_and_the_rows_that_a_change_concerns(project: Project) -> None:
    alike = load_yaml(ROOT / "experiments/recipe_walk/params.yaml")["walk"]["alike"]
    change(project, "recipe_walk", run=["paper", "source-2012"], seeds=[1], alike={**alike, **TOY})
    started(project, "recipe_walk")
    assert "2 of 2 runs are finished." in page(project, "recipe_walk")
    assert table(project, "recipe_walk")["epochs"].tolist() == [2, 2]
    signals = pd.read_csv(project.folder / "data/experiments/recipe_walk/signal.csv")
    assert (signals["signal"] > 0).all()
    assert trainings_to_come(project, "recipe_walk") == set()
    # A row on the way is part of those after it.
    params = project.folder / "experiments/recipe_walk/params.yaml"
    params.write_text(params.read_text().replace("model.mean: centre", "model.mean: none"))
    assert trainings_to_come(project, "recipe_walk") == {"train@1-source-2012"}


def test_an_ensemble_and_another_member(project: Project) -> None:
    change(project, "ensemble", seeds=[1, 2], alike=TOY)
    started(project, "ensemble")
    assert table(project, "ensemble")["network"].tolist() == ["member-1", "member-2"]
    change(project, "ensemble", seeds=[1, 2, 3])
    assert trainings_to_come(project, "ensemble") == {"train@3"}


def test_pretraining(project: Project) -> None:
    # The second rate diverges, and is only left out.
    change(project, "pretraining", seeds=[1], plain_seeds=[1], average=["finetuned-1", "plain-1"], alike=TOY)
    change(project, "pretraining", rates=[0.01, 1e20])
    started(project, "pretraining")
    folders = ("data/experiments/pretraining/larger/index", "data/index")
    theirs, ours = (set(read_classes(project.folder / folder)["wnid"]) for folder in folders)
    assert theirs.isdisjoint(ours)
    counts = table(project, "pretraining").groupby(["arm", "kind"]).size().to_dict()
    kinds = [(arm, kind) for arm in ("finetuned", "scratch") for kind in ("chosen", "tuning")]
    assert counts == dict.fromkeys(kinds, 2)
    text = page(project, "pretraining")
    assert "1 and 1 CNNs" in text
    assert text.count("| 1e+20 | diverged in epoch 1 |") == 2


def test_figure_1_and_another_seed(project: Project) -> None:
    change(project, "figure1", side=8, batch_size=8, activations=["relu"], seeds=[1], epochs=2, goal=0.001)
    change(project, "figure1", sweep__learning_rates=[0.01, 0.03], sweep__more_steps=0)
    change(project, "figure1", norm__crop=6, norm__epochs=1, norm__drop_epochs=[], norm__seeds=[1])
    first = own_stages(started(project, "figure1"))
    norms = ["norm@1-11-percent", "norm@1-11-percent-without-norms", "norm@1-13-percent"]
    assert first == ["index", *norms, "page", "pictures", "sweep@relu", "train@1-relu"]
    assert "1 of 1 runs are finished" in page(project, "figure1")
    arms = ["13-percent", "11-percent-without-norms", "11-percent"]
    assert table(project, "figure1")["network"].tolist() == ["relu", "relu", *arms]
    change(project, "figure1", seeds=[1, 2])
    assert trainings_to_come(project, "figure1") == {"train@2-relu"}
