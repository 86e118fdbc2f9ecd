"""Every experiment's graph at toy size, over the same prepared pictures."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from conftest import ROOT, Project, make_project, stages_run
from imports import OWN, code_of
from ruamel.yaml import YAML

from alexnet.core.errors import UserError
from alexnet.core.params import read
from alexnet.store.index import read_classes
from experiments import side_by_side
from experiments.recipe_walk.walk import PARAMS, Walk
from experiments.side_by_side import places, shares

# Columns share all kernels evenly at this width, also where one column has half as many.
TOY = {"train.epochs": 2, "model.width": 0.125, "train.batch_size": 8}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A tiny project whose pictures are prepared."""
    made = make_project(tmp_path_factory.mktemp("experiments") / "project")
    made.set("loader", "torch", "machine.yaml")
    made.repro("rgb_pca")
    return made


def stages_of(path: str) -> dict[str, Any]:
    stages: dict[str, Any] = YAML(typ="safe").load((ROOT / path).read_text())["stages"]
    return stages


EXPERIMENTS = [
    "ablations",
    "ensemble",
    "pretraining",
    "recipe_walk",
]


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_stages_depend_on_the_code_that_they_run(name: str) -> None:
    own = stages_of("dvc.yaml")
    for found in stages_of(f"experiments/{name}/dvc.yaml").values():
        module = found["cmd"].split(" -m ")[1].split()[0]
        declared = {dep for dep in found["deps"] if dep.startswith(OWN) and not made(dep)}
        if module.startswith("stages."):
            theirs = own[module.removeprefix("stages.")]["deps"]
            assert declared == {dep for dep in theirs if dep.startswith(OWN)}
            continue
        needed = code_of(module, ROOT)
        # Where training is, DALI is imported when it is chosen.
        needed |= {"alexnet/feed/dali.py"} & declared
        assert {file for file in needed if not covered(file, declared)} == set()
        templates = {dep for dep in declared if dep.startswith("alexnet/report/report.")}
        assert {
            dep for dep in declared - templates if not any(covered(file, {dep}) for file in needed)
        } == set()


def made(dep: str) -> bool:
    """Return whether a dependency below experiments/ is what a stage made, and not code."""
    return dep.startswith("experiments/") and not dep.endswith(".py")


def covered(file: str, deps: set[str]) -> bool:
    return any(file == dep or file.startswith(f"{dep}/") for dep in deps)


def set_all(project: Project, experiment: str, **values: Any) -> None:
    for key, value in values.items():
        project.set(f"{experiment}.{key}", value, f"experiments/{experiment}/params.yaml")


def test_runs_are_dealt_out_whole() -> None:
    stages = ["rows", "train@1-a", "train@1-b", "train@2-a", "evaluate@1-a", "evaluate@1-b", "summary"]
    assert shares(stages, 2) == [["train@1-a", "evaluate@1-a", "train@2-a"], ["train@1-b", "evaluate@1-b"]]
    assert shares(["train@1"], 2) == [["train@1"], []]


@pytest.mark.parametrize("name", ["pretraining", "recipe_walk", "figure1"])
def test_a_pipeline_whose_stages_need_one_another_is_not_dealt_out(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = Path(f"experiments/{name}/dvc.yaml")
    kinds = ", ".join(stages_of(str(pipeline)))
    asked, run = [], subprocess.run

    def listing_alone(command: list[str], **options: Any) -> Any:
        asked.append(command[:3])
        return run(command, **options)

    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(subprocess, "run", listing_alone)
    with pytest.raises(UserError) as told:
        side_by_side.main(pipeline)
    assert str(told.value).startswith(f"{pipeline}: found the stages {kinds}; allowed: rows, train, evalu")
    assert f"dvc repro --keep-going {pipeline}" in str(told.value)
    assert "\n" not in str(told.value)
    # Nothing was started.
    assert asked == [["dvc", "stage", "list"]]


@pytest.mark.parametrize("name", ["ablations", "ensemble"])
def test_a_pipeline_of_runs_alone_may_be_dealt_out(name: str) -> None:
    side_by_side.refuse_other_shapes([*stages_of(f"experiments/{name}/dvc.yaml")], Path("dvc.yaml"))


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


def test_ablations_two_at_a_time_and_one_row_again(project: Project) -> None:
    path, pipeline = "experiments/ablations/params.yaml", "experiments/ablations/dvc.yaml"
    set_all(project, "ablations", seeds=[1], alike=TOY, run=["full", "tanh"])
    done = project.run("python", "-m", "experiments.side_by_side", pipeline)
    ran = [name.rpartition(":")[2] for name in stages_run(done.stdout + done.stderr)]
    runs = [f"{stage}@1-{row}" for stage in ("train", "evaluate") for row in ("full", "tanh")]
    assert sorted(ran) == sorted(["index", "rows", *runs, "index", "summary"])
    table = pd.read_csv(project.folder / "reports/experiments/ablations.csv")
    assert table["row"].tolist() == ["full", "tanh"]
    assert table["epochs"].tolist() == [2] * 2
    # A row that changes is trained again, alone.
    project.set("ablations.rows.tanh.values", {"model.activation": "abs_tanh"}, path)
    again = [name.rpartition(":")[2] for name in stages_run(project.repro("--keep-going", pipeline))]
    assert sorted(again) == ["evaluate@1-tanh", "index", "rows", "summary", "train@1-tanh"]
    page = (project.folder / "reports/experiments/ablations.md").read_text()
    assert "All 2 runs are finished." in page


def test_the_walk_and_one_row_again(project: Project) -> None:
    path, pipeline = "experiments/recipe_walk/params.yaml", "experiments/recipe_walk/dvc.yaml"
    walk = read(ROOT / PARAMS, Walk)
    goals = [goal for row in walk.rows for goal in row.goal]
    rows: list[dict[str, Any]] = [{"name": "paper"}, {"name": "source-2012", "goal": goals}]
    for key, value in {"rows": rows, "seeds": [1], "alike": {**walk.alike, **TOY}}.items():
        project.set(f"walk.{key}", value, path)
    first = stages_run(project.repro("--keep-going", pipeline))
    assert sum(":train@" in name for name in first) == 2
    for suffix in ("md", "html"):
        page = (project.folder / f"reports/experiments/recipe_walk.{suffix}").read_text()
        assert "2 of 2 runs are finished." in page
    table = pd.read_csv(project.folder / "reports/experiments/recipe_walk.csv")
    assert table["epochs"].tolist() == [2] * 2
    signals = pd.read_csv(project.folder / "experiments/recipe_walk/signal.csv")
    assert (signals["signal"] > 0).all()
    # A row that changes is trained again, alone.
    project.set("walk.rows", [rows[0], {**rows[1], "values": {"train.batch_size": 6}}], path)
    again = stages_run(project.repro("--keep-going", pipeline))
    assert [name.split(":")[-1] for name in again if ":train@" in name] == ["train@1-row1"]
    row = YAML(typ="safe").load(project.folder / "experiments/recipe_walk/rows/source-2012-1.yaml")
    assert row["train"]["batch_size"] == 6


def test_an_ensemble_and_another_member(project: Project) -> None:
    pipeline = "experiments/ensemble/dvc.yaml"
    set_all(project, "ensemble", seeds=[1, 2], alike=TOY)
    first = [name.rpartition(":")[2] for name in stages_run(project.repro(pipeline))]
    assert {"train@1", "train@2", "evaluate@1", "evaluate@2", "summary"} < set(first)
    found = pd.read_csv(project.folder / "reports/experiments/ensemble.csv")
    assert found["network"].tolist() == ["member-1", "member-2"]
    # One more network is trained alone.
    set_all(project, "ensemble", seeds=[1, 2, 3])
    again = [name.rpartition(":")[2] for name in stages_run(project.repro(pipeline))]
    assert sorted(again) == ["evaluate@3", "index", "rows", "summary", "train@3"]


def test_pretraining(project: Project) -> None:
    pipeline = "experiments/pretraining/dvc.yaml"
    members = [{"arm": "finetuned", "seed": 1}, {"arm": "plain", "seed": 1}]
    # The second rate diverges, and is no more than ranked last.
    rates = [0.01, 1e20]
    set_all(project, "pretraining", seeds=[1], plain_seeds=[1], average=members, rates=rates, alike=TOY)
    project.repro(pipeline)
    theirs, ours = (
        set(read_classes(project.folder / folder)["wnid"])
        for folder in ("experiments/pretraining/larger/index", "data/index")
    )
    assert theirs.isdisjoint(ours)
    table = pd.read_csv(project.folder / "reports/experiments/pretraining.csv")
    assert table.groupby(["arm", "kind"]).size().to_dict() == {
        (arm, kind): 2 for arm in ("finetuned", "scratch") for kind in ("chosen", "tuning")
    }
    page = (project.folder / "reports/experiments/pretraining.md").read_text()
    assert "1 and 1 CNNs" in page
    assert page.count("| 1e+20 | diverged in epoch 1 |") == 2
