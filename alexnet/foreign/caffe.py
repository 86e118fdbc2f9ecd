"""Caffe's bvlc_alexnet, whose weights are widely kept, as a network of this project.

It is not the paper's: it sees 227×227 BGR pixels; its response norm has k = 1, α divided by n, and windows
that reach over both groups' maps; its dropout is inverted. All of that is in its `model` section.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from alexnet.core.errors import UserError
from alexnet.core.files import exists
from alexnet.core.sizes import PICTURE
from alexnet.model.network import KERNELS, AlexNet
from alexnet.model.params import Dropout, Model, ResponseNorm
from alexnet.model.weights import Classes

# Side of its input, in pixels.
PATCH = 227
# Channel means (blue, green, red) of ilsvrc_2012_mean.npy, which comes with Caffe.
MEAN_BGR = (104.00698793, 116.66876762, 122.67891434)

# bvlc_alexnet has 244 MB.
MAX_BYTES = 1_000_000_000

Arrays = dict[str, NDArray[np.float32]]


def read_npz(path: Path) -> Arrays:
    """Read the arrays of an ``.npz``: ``conv1_0`` (weights), ``conv1_1`` (biases) … ``fc8_1``, and ``mean``.

    Where Caffe is installed, its blobs become such a file by ``numpy.savez(path, **{f"{name}_{i}": blob.data
    for name, blobs in net.params.items() for i, blob in enumerate(blobs)})``.

    Raises:
        UserError: the file is missing or something else.
    """
    if not exists(path):
        raise UserError(f"{path}: no such file")
    try:
        with np.load(path, allow_pickle=False) as file:
            if sum(member.file_size for member in file.zip.infolist()) > MAX_BYTES:
                raise ValueError(f"it unpacks to more than {MAX_BYTES:,} bytes")
            arrays = {name: np.asarray(file[name], np.float32) for name in file.files}
    except Exception as error:
        # The readers of zip files and of arrays raise nearly anything.
        raise UserError(f"{path}: not an .npz file of plain arrays: {error}") from None
    for name, values in arrays.items():
        if not np.isfinite(values).all():
            raise UserError(f"{path}: {name}: holds NaN or infinity; allowed: finite weights")
    return arrays


def model_of(width: float) -> Model:
    """Return the `model` section of bvlc_alexnet, its kernels and neurons multiplied by `width`."""
    return Model(
        columns=2,
        width=width,
        activation="relu",
        conv1_order="activation-norm-pool",
        conv5_order="activation-pool",
        response_norm=ResponseNorm(
            enabled=True,
            size=5,
            k=1.0,
            alpha=1e-4,
            alpha_divided_by_size=True,
            across_columns=True,
            beta=0.75,
        ),
        spatial_norm=False,
        pooling="3/2",
        leave_out="none",
        conv6=False,
        dropout=Dropout(rate=0.5, form="inverted"),
        initial_weights="paper",
        initial_weights_follow_width=False,
        initial_biases="paper",
        mean="patch",
        input_divisor=1.0,
    )


@torch.no_grad()
def network_of(arrays: Arrays, path: Path) -> AlexNet:
    """Return the network that `arrays`, read from `path`, make, in evaluation mode.

    Caffe's kernels see blue first and ours red, so conv1's are turned round, and the mean with them. The
    mean is an array ``mean`` in blue, green, red, of shape (3, 256, 256) or (3,), or Caffe's own.

    Raises:
        UserError: an array is missing, misshapen or none of bvlc_alexnet's.
    """
    first = _array(arrays, "conv1_0", path)
    width = first.shape[0] / KERNELS["conv1"] if first.ndim else 0
    if not 0 < width <= 4:
        raise UserError(f"{path}: conv1_0: found shape {first.shape}; allowed: (96, 3, 11, 11)")
    network = AlexNet(model_of(width), _array(arrays, "fc8_1", path).size, PATCH)
    known = {f"{layer.name}_{kind}" for layer in network.layers for kind in (0, 1)} | {"mean"}
    if others := sorted(set(arrays) - known):
        raise UserError(f"{path}: {others[0]}: unknown array; allowed: {', '.join(sorted(known))}")
    for layer, *parameters in network.layer_parameters():
        for kind, parameter in enumerate(parameters):
            name = f"{layer.name}_{kind}"
            values = _shaped(_array(arrays, name, path), tuple(parameter.shape), name, path)
            if name == "conv1_0":
                values = values[:, ::-1]
            parameter.copy_(torch.from_numpy(np.ascontiguousarray(values)))
    mean = arrays.get("mean", np.array(MEAN_BGR, np.float32))
    if mean.size == 3:
        mean = np.broadcast_to(mean.reshape(3, 1, 1), (3, PICTURE, PICTURE))
    mean = _shaped(mean, (3, PICTURE, PICTURE), "mean", path)
    network.input.mean_image.copy_(torch.from_numpy(np.ascontiguousarray(mean[::-1])))
    return network.eval()


def read_classes(path: Path | None, count: int) -> Classes:
    """Read WNIDs and words from lines such as ``n01440764 tench, Tinca tinca``, or number the classes.

    Raises:
        UserError: the file is missing or has another number of lines.
    """
    if path is None:
        return [(f"class-{number:04d}", f"class {number}") for number in range(count)]
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read: {error}") from None
    classes = [line.split(maxsplit=1) for line in lines if line.strip()]
    if len(classes) != count:
        raise UserError(f"{path}: found {len(classes)} classes; allowed: {count}, as fc8 has outputs")
    return [(wnid, words[0] if words else wnid) for wnid, *words in classes]


def _array(arrays: Arrays, name: str, path: Path) -> NDArray[np.float32]:
    if name not in arrays:
        raise UserError(f"{path}: {name}: missing; found: {', '.join(sorted(arrays)) or 'nothing'}")
    return arrays[name]


def _shaped(values: NDArray[np.float32], shape: tuple[int, ...], name: str, path: Path) -> NDArray[Any]:
    # Blobs of Caffe's older files have four dimensions, the first of them 1.
    if tuple(size for size in values.shape if size != 1) != tuple(size for size in shape if size != 1):
        raise UserError(f"{path}: {name}: found shape {values.shape}; allowed: {shape}")
    return values.reshape(shape)
