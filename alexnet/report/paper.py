"""The numbers of Krizhevsky, Sutskever, Hinton, *ImageNet Classification with Deep Convolutional
Neural Networks*, NIPS 2012, and of the authors' own files. Error rates are in percent, as printed.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Printed:
    """A row of a table: error rates on the validation set, in Table 1 on the test set; None for a dash."""

    model: str
    top1: float | None
    top5: float | None
    top5_test: float | None = None
    by_others: bool = False


# ILSVRC-2010. The last row stands in the paper's text, not in its printed table.
TABLE_1 = (
    Printed("Sparse coding", 47.1, 28.2, by_others=True),
    Printed("SIFT + FVs", 45.7, 25.7, by_others=True),
    Printed("CNN", 37.5, 17.0),
    Printed("CNN, one patch", 39.0, 18.3),
)

# ILSVRC-2012. An asterisk marks networks pre-trained on the ImageNet 2011 Fall release (Section 6).
TABLE_2 = (
    Printed("SIFT + FVs", None, None, 26.2, by_others=True),
    Printed("1 CNN", 40.7, 18.2),
    Printed("5 CNNs", 38.1, 16.4, 16.4),
    Printed("1 CNN*", 39.0, 16.6),
    Printed("7 CNNs*", 36.7, 15.4, 15.3),
)

# Section 6, ImageNet's release of 2009, with conv6: classes, top-1 and top-5 error on half of the pictures.
IMAGENET_2009 = (10_184, 67.4, 40.9)

CLASSES = 1000
# By layout and split, the table that is about it and its number of pictures.
EVALUATED = {
    ("ilsvrc-2010", "test"): (1, 150_000),
    ("ilsvrc-2012", "val"): (2, 50_000),
    ("kaggle", "val"): (2, 50_000),
    ("ilsvrc-2012", "test"): (2, 100_000),
    ("kaggle", "test"): (2, 100_000),
}

# Shipped with the authors' cuda-convnet2: square roots of the eigenvalues of the RGB covariance,
# and the means of the mean image's channels; both over ImageNet, in grey levels 0 to 255.
RGB_STANDARD_DEVIATIONS = (121.78, 37.09, 19.72)
CHANNEL_MEANS = (127.30, 119.72, 104.91)
