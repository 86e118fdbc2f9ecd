"""The colour shift: one vector per picture along the principal components of RGB (paper, section 4.1)."""

import numpy as np
from numpy.typing import NDArray

from alexnet.feed.params import Augment
from alexnet.store.statistics import Statistics


def colour_shift(
    noise: NDArray[np.float32], statistics: Statistics, augment: Augment, epoch: int
) -> tuple[NDArray[np.float32] | None, float]:
    """Return the colour shift of each picture in grey levels (0-255), and the divisor of the shifted picture.

    ``paper``: P (α ∘ λ) with λ of pixels in [0, 1]. With the authors' λ of ImageNet, the standard deviation
    of the shift along p1 is 5.8 grey levels; with 0-255 the same formula would give 1,480.
    ``source-2012``: P (α ∘ √λ), √λ in 0-255: about 12.2. While the noise is on, the shifted picture is
    divided by 1 + the deviation of α, by 1.1 in the authors' run.

    Args:
        noise: standard normal, float32 (pictures, 3); times `colour_noise_std` it is α.
        epoch: from 1; the noise ends after `colour_noise_last_epoch`.

    Returns:
        float32 (pictures, 3), or None when there is no noise; the divisor.
    """
    last = augment.colour_noise_last_epoch
    if augment.colour_noise == "none" or (last is not None and epoch > last):
        return None, 1.0
    if augment.colour_noise == "paper":
        scale, divisor = statistics.eigenvalues / 255**2 * 255, 1.0
    else:
        scale, divisor = np.sqrt(statistics.eigenvalues), 1 + augment.colour_noise_std
    alpha = augment.colour_noise_std * noise.astype(np.float64)
    return ((alpha * scale) @ statistics.eigenvectors.T).astype(np.float32), divisor
