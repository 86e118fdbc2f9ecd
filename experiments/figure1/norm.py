"""Test error of cuda-convnet's nets with and without normalisation across maps (paper, section 3.3).

python -m experiments.figure1.norm 11-percent 1
"""

import math

import torch
from torch import Tensor

from alexnet.core.stage import run
from experiments.figure1.pictures import Pictures, read_pictures
from experiments.figure1.settings import Arm
from experiments.figure1.training import Result, Training, begin, begin_local_net

TEST_BATCH = 500


def nine_patches(pictures: Tensor, crop: int) -> list[Tensor]:
    """Return 3 × 3 patches, without mirrors, as the source tests on CIFAR-10 (convdata_cifar.py)."""
    last = pictures.shape[-1] - crop
    places = (0, last // 2, last)
    return [pictures[..., top : top + crop, left : left + crop] for top in places for left in places]


@torch.no_grad()
def error_rate(training: Training, test: Pictures, crop: int) -> float:
    """Return the share of `test` whose likeliest class, over nine averaged softmaxes, is wrong."""
    wrong = 0
    training.network.eval()
    for start in range(0, len(test.labels), TEST_BATCH):
        some = slice(start, start + TEST_BATCH)
        pixels = torch.from_numpy(test.pixels[some]).to(training.data.labels.device)
        patches = nine_patches(training.data.prepare(pixels), crop)
        likeliest = torch.stack([training.logits(patch).softmax(1) for patch in patches]).mean(0).argmax(1)
        wrong += int((likeliest.cpu().numpy() != test.labels[some]).sum())
    return wrong / len(test.labels)


def main(arm: Arm, seed: int) -> None:
    """Train, test once at the end, and write both."""
    settings, data, style = begin(grey=True)
    norm, label = settings.norm, f"{arm} norm, seed {seed}"
    training = begin_local_net(settings, arm, seed, data)
    while len(training.errors) < norm.epochs:
        error = training.train_epoch(label, style)
        print(f"{label}: epoch {len(training.errors)}: training error {error:.1%}", flush=True)
    test = read_pictures("test")
    result = Result(
        made_with=settings.of_norm(),
        learning_rate=norm.learning_rate,
        errors=training.errors,
        test_error=math.nan if math.isnan(training.errors[-1]) else error_rate(training, test, norm.crop),
        tested=len(test.labels),
    )
    result.write(f"norm-{arm}-{seed}")
    print(f"{label}: test error {result.test_error:.2%} of {result.tested:,} with nine patches")


if __name__ == "__main__":
    run(main)
