"""A trained network as one ONNX file: pictures as bytes in, class probabilities out."""

import importlib.util
import json
import logging
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from alexnet.core.errors import UserError
from alexnet.core.files import replacing
from alexnet.core.sizes import PICTURE
from alexnet.model.input import whole_pictures
from alexnet.model.network import AlexNet
from alexnet.model.patches import CENTRE, centre_patch, ten_patches
from alexnet.model.weights import Classes

NEEDED = ("onnx", "onnxscript")


class Deployed(nn.Module):
    """Whole pictures to class probabilities, with the mean image of each patch as a constant.

    Args:
        network: in evaluation mode.
        patches: 10, or 1: the centre (paper, section 4.1).
    """

    means: Tensor

    def __init__(self, network: AlexNet, patches: int) -> None:
        super().__init__()
        self.network, self.patches = network.eval(), patches
        rule = network.input
        nothing = whole_pictures(torch.zeros(1, PICTURE, PICTURE, 3, dtype=torch.uint8))
        means = torch.zeros(10, 3, rule.side, rule.side)
        if rule.mean != "none":
            means = rule.means(ten_patches(nothing, rule.side)).expand_as(means).clone()
        self.register_buffer("means", means if patches == 10 else means[CENTRE : CENTRE + 1].clone())

    def forward(self, pictures: Tensor) -> Tensor:
        """Return float32 (batch, classes) of `pictures`, uint8 (batch, 256, 256, 3) RGB."""
        # Not len(): the exporter would take its example's batch for that of every call.
        side, count = self.network.input.side, pictures.shape[0]
        cut = ten_patches if self.patches == 10 else centre_patch
        pixels = cut(whole_pictures(pictures), side).pixels.permute(0, 3, 1, 2).float()
        # (patch, picture, colour, row, column): each patch has a mean of its own.
        apart = pixels.reshape(self.patches, count, 3, side, side) - self.means[:, None]
        inputs = apart.reshape(-1, 3, side, side) / self.network.input.divisor
        return self.network.from_inputs(inputs).softmax(1).reshape(self.patches, count, -1).mean(0)


def export_onnx(path: Path, network: AlexNet, classes: Classes, patches: int) -> None:
    """Write `network` to `path`, for any number of pictures at once.

    The graph's input ``pictures`` is uint8 (batch, 256, 256, 3) RGB, prepared as for training: shorter
    side to 256, central square. Its output is ``probabilities``, float32 (batch, classes). The classes'
    WNIDs and words stand in the file's metadata as JSON.

    Raises:
        UserError: onnx or onnxscript is not installed, or the file cannot be written.
    """
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(f"{', '.join(missing)} not installed; install with: pip install 'alexnet[export]'")
    example = torch.zeros(2, PICTURE, PICTURE, 3, dtype=torch.uint8)
    # The exporter warns about torchvision's operators, which no network here uses.
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            Deployed(network, patches).eval(),
            (example,),
            dynamo=True,
            verbose=False,
            input_names=["pictures"],
            output_names=["probabilities"],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
        )
    assert program is not None
    program.model.metadata_props["classes"] = json.dumps(classes)
    with replacing(path) as temporary:
        program.save(temporary)
