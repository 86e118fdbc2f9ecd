"""A few of the kills and damages of tests/faults.py."""

import random

import pytest
from conftest import Project
from faults import REFUSED, REMADE, SAME, damage, kill, prepare


@pytest.fixture(scope="module")
def prepared(project: Project) -> Project:
    prepare(project)
    return project


def test_after_a_kill_a_stage_makes_the_same_bytes(prepared: Project) -> None:
    # A worker of preprocess is ended; tests/pipeline/test_kills.py has stages and the dvc that runs one.
    assert kill(prepared, random.Random("test 10")) == ("worker SIGTERM", SAME)


# What a killed preprocessing left, and a time that the report shows.
@pytest.mark.parametrize("seed", [0, 1])
def test_damage_is_named_or_changes_nothing(prepared: Project, seed: int) -> None:
    assert damage(prepared, random.Random(f"test {seed}"))[1] in (SAME, REMADE, REFUSED)
