"""Torchvision's recipe: what is cut of the pictures, the rates, and a whole training of a few pictures."""

import itertools
import json
import math
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import ROOT
from tiny import coarse_pictures, write_two_colours
from torch import Tensor
from torch.nn import functional

from alexnet.store.index import Index, write_index
from benchmarks import torchvision_recipe
from benchmarks.torchvision_recipe import DEVIATION, MEAN, cropped, drawn_boxes, main, normalised, rate_of


def resized(pixels: Tensor, top: int, left: int, height: int, width: int, side: int) -> Tensor:
    """Return the box cut out, resized by torch's own function, and normalised as torchvision does."""
    box = pixels[:, top : top + height, left : left + width].permute(0, 3, 1, 2).float()
    values = functional.interpolate(box, (side, side), mode="bilinear", align_corners=False) / 255
    mean, deviation = (torch.tensor(each)[:, None, None] for each in (MEAN, DEVIATION))
    return (values - mean) / deviation


@pytest.mark.parametrize(
    "box", [(0, 0, 256, 256), (16, 16, 224, 224), (0, 0, 90, 70), (3, 101, 128, 155), (200, 171, 56, 85)]
)
@pytest.mark.parametrize("side", [224, 64])
def test_a_box_is_cut_out_and_resized_bilinearly_and_its_mirror_is_mirrored(
    box: tuple[int, int, int, int], side: int
) -> None:
    pixels = torch.from_numpy(coarse_pictures(2, 64))
    plain, mirrored = (torch.tensor([[*box, flag]] * 2, dtype=torch.float32) for flag in (0, 1))
    close, expected = partial(torch.testing.assert_close, rtol=0, atol=1e-3), resized(pixels, *box, side)
    close(normalised(cropped(pixels, plain, side)), expected)
    close(normalised(cropped(pixels, mirrored, side)), expected.flip(3))


def test_each_picture_has_its_own_box_and_one_that_is_not_resized_is_the_patch_itself() -> None:
    pixels = torch.from_numpy(coarse_pictures(2, 64))
    boxes = torch.tensor([[0, 32, 224, 224, 0], [7, 0, 224, 224, 1]], dtype=torch.float32)
    patches = torch.stack([pixels[0, :224, 32:], pixels[1, 7:231, :224].flip(1)])
    torch.testing.assert_close(cropped(pixels, boxes), patches.float(), rtol=0, atol=0.01)


def test_boxes_are_those_of_random_resized_crop() -> None:
    count = 50_000
    boxes = drawn_boxes(1, 1, count)
    corners, sizes, mirrored = boxes[:, :2], boxes[:, 2:4], boxes[:, 4]
    assert (corners >= 0).all()
    assert (corners + sizes <= 256).all()
    assert np.array_equal(boxes, boxes.round())
    height, width = sizes.T
    # A side is rounded by half a pixel at most, of 64 at least.
    area, ratio = height * width / 256**2, width / height
    assert 0.08 * 0.98 < area.min() < 0.082
    assert area.max() == 1
    assert 3 / 4 * 0.98 < ratio.min() < 3 / 4 * 1.01
    assert 4 / 3 * 0.99 < ratio.max() < 4 / 3 * 1.02
    # Neither side is preferred, and a share of the free places is as likely as any other.
    assert abs(np.log(ratio).mean()) < 0.005
    free = (256 - sizes).clip(1)
    assert np.allclose((corners / free)[sizes.max(1) < 200].mean(0), 0.5, atol=0.01)
    assert abs(mirrored.mean() - 0.5) < 0.01
    assert abs((area > 0.5).mean() - share_above_half(20_000)) < 0.015
    assert not np.array_equal(boxes, drawn_boxes(1, 2, count))
    assert np.array_equal(boxes, drawn_boxes(1, 1, count))


def share_above_half(count: int) -> float:
    """Return the share of boxes above half the area, drawn one by one."""
    draw, above = np.random.default_rng(3), 0
    for _ in range(count):
        height = width = 256
        for _ in range(10):
            area = draw.uniform(0.08, 1) * 256**2
            ratio = np.exp(draw.uniform(np.log(3 / 4), np.log(4 / 3)))
            w, h = round((area * ratio) ** 0.5), round((area / ratio) ** 0.5)
            if w <= 256 and h <= 256:
                height, width = h, w
                break
        above += height * width > 256**2 / 2
    return above / count


def test_where_no_try_fits_the_whole_picture_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torchvision_recipe, "AREA", (1.1, 1.2))
    assert np.array_equal(drawn_boxes(1, 1, 9)[:, :4], [[0, 0, 256, 256]] * 9)


@pytest.mark.parametrize(("epochs", "last"), [(90, (30, 60, 90)), (10, (3, 7, 10)), (1, (1,))])
def test_the_rate_falls_after_each_third(epochs: int, last: tuple[int, ...]) -> None:
    rates = [rate_of(epoch, epochs) for epoch in range(1, epochs + 1)]
    assert [rates.count(rate) for rate in sorted(set(rates), reverse=True)] == list(np.diff([0, *last]))
    assert sorted(set(rates), reverse=True) == [0.01, 0.001, 0.0001][: len(last)]


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """An index of two classes, and few records of them, in the present folder, where states are saved."""
    monkeypatch.chdir(tmp_path)
    write_two_colours(tmp_path / "records", train=8, val=5)
    classes = pd.DataFrame({"wnid": ["n1", "n2"], "words": ["red", "blue"]})
    write_index(tmp_path / "index", Index(pd.DataFrame({"name": []}), classes))
    return {"index": tmp_path / "index", "records": tmp_path / "records"}


def test_a_whole_training_is_printed_and_written(
    folders: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    compiled = []

    def compile(network: Callable[[Tensor], Tensor], **_: Any) -> Callable[[Tensor], Tensor]:
        def forward(inputs: Tensor) -> Tensor:
            compiled.append(len(inputs))
            return network(inputs)

        return forward

    monkeypatch.setattr(torchvision_recipe, "BATCH", 3)
    monkeypatch.setattr(torchvision_recipe, "chosen_mode", lambda machine, device: "compiled")
    monkeypatch.setattr(torch, "compile", compile)
    out = tmp_path / "made" / "out.json"
    main(epochs=2, **folders, precision="bfloat16", out=out)
    # All but the last batch, which has two pictures.
    assert compiled == [3, 3] * 2
    found = json.loads(out.read_text())
    assert [row["epoch"] for row in found["history"]] == [1, 2]
    assert [row["learning_rate"] for row in found["history"]] == [0.01, 0.0001]
    assert all(0.3 < row["train_loss"] < 1.5 for row in found["history"])
    assert (found["classes"], found["pictures"]) == (2, {"train": 8, "val": 5})
    assert found["versions"]["torch"].startswith(torch.__version__.partition("+")[0])
    # With two classes the true one is always among five.
    assert found["rates"].pop("top5_error") == found["rates"].pop("top5_error_one_patch") == 0
    assert found["rates"].keys() == {"top1_error", "top1_error_one_patch"}
    assert all(5 * rate == round(5 * rate) for rate in found["rates"].values())
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in lines[:2]] == ["epoch 1/2", "epoch 2/2"]
    assert lines[2].startswith("top1_error ")
    assert len(lines) == 3


def test_a_training_says_when_time_is_up_and_goes_on_after_its_last_epoch_to_the_same_numbers(
    folders: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(torchvision_recipe, "BATCH", 3)
    small: dict[str, Any] = {**folders, "epochs": 3, "width": 0.05}
    main(**small, out=tmp_path / "whole.json")
    shutil.rmtree(tmp_path / ".state")
    for seconds, done in ((0, 0), (1.9, 1), (0, 1), (math.inf, 3)):
        clock = itertools.count(0, 0.25)
        monkeypatch.setattr("benchmarks.torchvision_recipe.time.monotonic", partial(next, clock))
        main(**small, seconds=seconds, out=tmp_path / "resumed.json")
        found = json.loads((tmp_path / "resumed.json").read_text())
        assert len(found["history"]) == done
        assert ("rates" in found) == (done == 3)
        stopped = f"stopped in epoch {done + 1} of 3 after {seconds} s, as asked"
        assert (stopped in capsys.readouterr().out) == (done < 3)
    whole = json.loads((tmp_path / "whole.json").read_text())
    assert found["rates"] == whole["rates"]
    for row, again in zip(whole["history"], found["history"], strict=True):
        for name in ("train_loss", "train_error", "val_top1_error", "learning_rate"):
            assert row[name] == again[name]


def test_an_unknown_precision_is_refused(
    folders: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(epochs=1, **folders, precision="float8")
    assert capsys.readouterr().err == ("error: --precision: found float8; allowed: float32, tf32, bfloat16\n")


def test_it_needs_neither_dvc_nor_dali_nor_a_plotter() -> None:
    absent = ("dvc", "matplotlib", "nvidia.dali", "torchvision")
    code = f"import benchmarks.torchvision_recipe, sys; print([m for m in {absent} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
