"""A few damaged files of each kind of tests/damaged.py, drawn by a seed."""

import random
from pathlib import Path

import pytest
from damaged import READ, TRACEBACK, damaged, kinds, outcome_of


def test_damaged_files_are_skipped_or_refused_in_one_line(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for kind, (path, use) in kinds(tmp_path).items():
        whole = path.read_bytes()
        assert outcome_of(path, use, whole) == READ, kind
        for number in range(20):
            found = outcome_of(path, use, damaged(whole, random.Random(f"test {kind} {number}")))
            assert found != TRACEBACK, f"{kind} {number}: {capfd.readouterr().err}"
        path.write_bytes(whole)
