"""A few of the kills and damages of tests/faults.py."""

import random

import pytest
from conftest import Project
from faults import REFUSED, REMADE, SAME, damage, kill, prepare


@pytest.fixture(scope="module")
def prepared(project: Project) -> Project:
    prepare(project)
    return project


# Of these, a stage, the dvc that runs one, and a worker are killed.
@pytest.mark.parametrize("seed", [1, 5, 10])
def test_after_a_kill_a_stage_makes_the_same_bytes(prepared: Project, seed: int) -> None:
    assert kill(prepared, random.Random(f"test {seed}"))[1] == SAME


@pytest.mark.parametrize("seed", [0, 1, 2, 3])
def test_damage_is_named_or_changes_nothing(prepared: Project, seed: int) -> None:
    assert damage(prepared, random.Random(f"test {seed}"))[1] in (SAME, REMADE, REFUSED)
