"""A few of the kills and damages of tests/faults.py, drawn by a seed."""

import random

import pytest
from conftest import Project
from faults import REFUSED, REMADE, SAME, damage, kill, prepare


@pytest.fixture(scope="module")
def prepared(project: Project) -> Project:
    prepare(project)
    return project


def test_after_a_kill_a_stage_makes_the_same_bytes(prepared: Project) -> None:
    seconds: dict[str, float] = {}
    found = [kill(prepared, random.Random(f"test {number}"), seconds) for number in range(4)]
    assert {outcome for _, outcome in found} == {SAME}, found


def test_damage_is_named_or_changes_nothing(prepared: Project) -> None:
    found = [damage(prepared, random.Random(f"test {number}")) for number in range(6)]
    assert {outcome for _, outcome in found} <= {SAME, REMADE, REFUSED}, found
