"""Reading what the other stages wrote, and naming what is wrong with it."""

import re
import shutil
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from made import (
    DATA,
    EPOCHS,
    RETRIEVAL,
    RUN,
    epoch,
    made_predictions,
    write_epochs,
    write_model,
    write_results,
    write_weights,
)
from tiny import told

from alexnet.core.files import sha256_of, write_checked_json
from alexnet.evaluation.predictions import save_predictions
from alexnet.report.facts import ResultFiles, read_facts
from alexnet.report.topics import curves

FOLDERS = ("predictions", "records", "durations")
OF_USERS = ("params", "printed", "run_in_2012", "statistics")
FILES = [field.name for field in fields(ResultFiles) if field.name not in FOLDERS]


@pytest.fixture
def files(tmp_path: Path) -> ResultFiles:
    return write_results(tmp_path)


def refusal(files: ResultFiles) -> str:
    with told() as caught:
        read_facts(files)
    return str(caught.value)


def test_missing_and_malformed_files_are_named(files: ResultFiles) -> None:
    for name in FILES:
        path: Path = getattr(files, name)
        whole = path.read_bytes()
        path.unlink()
        assert str(path) in refusal(files)
        if name not in OF_USERS:
            path.write_text("{not it", encoding="utf-8")
            assert str(path) in refusal(files)
        path.write_bytes(whole)
    read_facts(files)


def test_a_value_out_of_range_is_named_and_further_keys_are_ignored(files: ResultFiles) -> None:
    write_model(files.data, DATA, another=1)
    assert read_facts(files).data == DATA
    write_model(files.data, DATA, classes=0)
    assert f"{files.data}: classes: " in refusal(files)
    write_model(files.retrieval, RETRIEVAL, same_class_exact=61.0)
    write_model(files.data, DATA)
    assert "same_class_exact" in refusal(files)


def test_a_mistake_in_a_row_names_its_line(files: ResultFiles) -> None:
    write_epochs(files.history, 1, 2, val_loss="none")
    assert "line 3: val_loss" in refusal(files)
    write_epochs(files.history, 1, 2, gradient_norm_fc8="much")
    assert "line 3: gradient_norms.fc8" in refusal(files)
    text = files.history.read_text(encoding="utf-8").rstrip()
    files.history.write_text(text.rsplit(",", 3)[0], encoding="utf-8")
    assert "line 3: not as many cells as columns" in refusal(files)
    header, *rows = text.splitlines()
    files.history.write_text("\n".join([header.replace("fc8_learning_rate", "x"), *rows]), encoding="utf-8")
    assert "missing columns: fc8_learning_rate" in refusal(files)


def test_the_history_must_be_whole(files: ResultFiles) -> None:
    assert read_facts(files).history == tuple(epoch(number + 1) for number in range(EPOCHS))
    write_epochs(files.history, 1, 3)
    assert "not numbered" in refusal(files)
    files.history.write_text(files.history.read_text().splitlines()[0], encoding="utf-8")
    assert "holds no epoch" in refusal(files)


def test_weights_of_another_recipe_are_refused(files: ResultFiles) -> None:
    write_weights(files, "model.width=0.08")
    told = r"trained with model\.width: 0\.08, but \S+params\.yaml has 0\.04: .* recipes"
    assert re.search(told, refusal(files))
    write_weights(files, "model.response_norm.k=1.0")
    assert "trained with model.response_norm.k: 1.0" in refusal(files)
    write_weights(files)
    files.params.write_text(re.sub(r"(?m)^  pooling: .*\n", "", files.params.read_text()))
    assert re.search(r"trained with model\.pooling: \S+, but \S+params\.yaml has None", refusal(files))


def test_a_training_of_another_recipe_is_refused(files: ResultFiles) -> None:
    write_model(files.run, RUN, parameters={"train": {"momentum": 0.1}})
    assert "run.json: trained with train.momentum: 0.1, but" in refusal(files)


def test_results_of_other_weights_are_refused(files: ResultFiles) -> None:
    here, other = sha256_of(files.model), "0" * 64
    save_predictions(files.predictions, replace(made_predictions(), weights=here))
    write_model(files.run, RUN, weights=here)
    assert read_facts(files).predictions.weights == here
    write_model(files.run, RUN, weights=other)
    told = f"{files.run}: of the weights {other[:12]}…, but {files.model} has {here[:12]}…"
    assert refusal(files).startswith(f"{told}: they are of different runs.")
    write_model(files.run, RUN, weights=here)
    save_predictions(files.predictions, replace(made_predictions(), weights=other))
    assert refusal(files).startswith(f"{files.predictions / 'about.json'}: of the weights {other[:12]}…")
    save_predictions(files.predictions, replace(made_predictions(), weights=here))
    write_model(files.retrieval, RETRIEVAL, weights=other)
    assert refusal(files).startswith(f"{files.retrieval}: of the weights {other[:12]}…")
    (files.predictions / "about.json").unlink()
    assert "run the evaluate stage first" in refusal(files)


def test_files_that_were_changed_since_are_refused(files: ResultFiles) -> None:
    for path, where, checksum, model in (
        (files.history, files.run, "history", RUN),
        (files.skipped, files.data, "skipped_sha256", DATA),
    ):
        write_model(where, model, **{checksum: sha256_of(path)})
        read_facts(files)
        whole = path.read_bytes()
        path.write_bytes(whole.replace(b"e", b"f", 1))
        assert refusal(files).startswith(f"{path}: damaged, or of another run than {where}.")
        path.write_bytes(whole)
    write_checked_json(files.data, DATA.model_dump())
    read_facts(files)
    files.data.write_bytes(files.data.read_bytes().replace(b'"layout": "', b'"layout": "x', 1))
    assert refusal(files).startswith(f"{files.data}: damaged: its content has another checksum.")


def test_predictions_of_other_pictures_are_refused(files: ResultFiles) -> None:
    found = made_predictions()
    save_predictions(files.predictions, replace(found, names=found.names[::-1]))
    assert refusal(files).startswith(f"{files.predictions}: of other pictures than {files.records} holds.")


def test_a_diverged_loss_is_read_and_drawn(files: ResultFiles) -> None:
    write_epochs(files.history, 1, 2, train_loss="nan", val_loss="inf")
    facts = read_facts(files)
    assert np.isnan(facts.history[-1].train_loss)
    assert any("| nan |" in part for part in curves.topic(facts) if isinstance(part, str))


def test_durations_and_pictures_may_be_absent(files: ResultFiles) -> None:
    (files.durations / "evaluate.json").write_text("{", encoding="utf-8")
    shutil.rmtree(files.records)
    assert read_facts(files).durations == {}
