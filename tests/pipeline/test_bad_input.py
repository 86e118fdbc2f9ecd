"""A user's mistake stops the pipeline with one line that names it, never with a traceback."""

import shutil
from pathlib import Path

from conftest import Project, stages_run


def test_a_wrong_key_stops_the_pipeline_before_any_work(project: Project) -> None:
    # As in a clone that has run nothing: DVC also remembers runs in its cache.
    (project.folder / "dvc.lock").unlink()
    shutil.rmtree(project.folder / ".dvc/cache/runs", ignore_errors=True)
    project.set("workers", "none", "machine.yaml")
    output = project.repro(check=False)
    assert stages_run(output) == ["check"]
    (line,) = (line for line in output.splitlines() if line.startswith("error:"))
    assert "machine.yaml: workers: found none; allowed: " in line
    assert "Traceback" not in output


def test_command_line_mistakes_are_one_line(project: Project, tmp_path: Path) -> None:
    for module, *arguments in (
        ["alexnet.cli", "predict", "picture.jpg", "--weights", str(tmp_path / "none.safetensors")],
        ["stages.train", "--params", str(tmp_path / "none.yaml")],
    ):
        done = project.run("python", "-m", module, *arguments, check=False)
        (line,) = done.stderr.splitlines()
        assert done.returncode == 1
        assert line.startswith(f"error: {arguments[-1]}: no such file")
