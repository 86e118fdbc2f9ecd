"""fc7's activations are those of the centre patch, in the order asked for."""

import numpy as np
import torch
from tiny import InMemory, coarse_pictures, network_of

from alexnet.retrieval.features import features_of_picture, features_of_records


def test_features_are_fc7_of_the_centre() -> None:
    network, pixels, chosen = network_of(input_divisor=1.0), coarse_pictures(5), np.array([4, 0, 2])
    out = np.zeros((3, network.fc7.out_features), np.float32)
    features_of_records(network, InMemory(pixels), chosen, 5, out, "none")
    outputs: list[torch.Tensor] = []
    network.fc7.register_forward_hook(lambda module, given, output: outputs.append(output))
    for row, picture in zip(out, pixels[chosen], strict=True):
        centred = picture.astype(np.float32).transpose(2, 0, 1) - network.input.mean_image.numpy()
        inputs = torch.from_numpy(centred[:, 16:240, 16:240].copy())[None]
        with torch.no_grad():
            network.eval().from_inputs(inputs)
        # As printed, dropout halves the outputs at test.
        expected = outputs[-1][0].clamp(min=0).numpy() / 2
        np.testing.assert_allclose(row, expected, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(features_of_picture(network, picture)[0], expected, rtol=1e-4, atol=1e-4)
        assert row.std() > 0
