"""The numbers of Krizhevsky, Sutskever, Hinton, *ImageNet Classification with Deep Convolutional
Neural Networks*, NIPS 2012, and of the authors' own files. Error rates are in percent, as printed.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Table1Row:
    """A row of Table 1, errors on the ILSVRC-2010 test set in percent."""

    model: str
    top1: float
    top5: float
    by_others: bool = False


@dataclass(frozen=True)
class Table2Row:
    """A row of Table 2, errors on ILSVRC-2012 in percent; None where the paper has a dash."""

    model: str
    top1_val: float | None
    top5_val: float | None
    top5_test: float | None
    by_others: bool = False


# The last row stands in the paper's text, not in its printed table.
TABLE_1 = (
    Table1Row("Sparse coding", 47.1, 28.2, by_others=True),
    Table1Row("SIFT + FVs", 45.7, 25.7, by_others=True),
    Table1Row("CNN", 37.5, 17.0),
    Table1Row("CNN, one patch", 39.0, 18.3),
)

# An asterisk marks networks pre-trained on the ImageNet 2011 Fall release (Section 6).
TABLE_2 = (
    Table2Row("SIFT + FVs", None, None, 26.2, by_others=True),
    Table2Row("1 CNN", 40.7, 18.2, None),
    Table2Row("5 CNNs", 38.1, 16.4, 16.4),
    Table2Row("1 CNN*", 39.0, 16.6, None),
    Table2Row("7 CNNs*", 36.7, 15.4, 15.3),
)

# Section 6, ImageNet's release of 2009, with conv6: classes, top-1 and top-5 error on half of the pictures.
IMAGENET_2009 = (10_184, 67.4, 40.9)

CLASSES = 1000
# Pictures of the splits that the tables are about, by layout and split.
SPLIT_SIZES = {
    ("ilsvrc-2010", "test"): 150_000,
    ("ilsvrc-2012", "val"): 50_000,
    ("kaggle", "val"): 50_000,
    ("ilsvrc-2012", "test"): 100_000,
    ("kaggle", "test"): 100_000,
}

# What trained the networks of the two tables, in words (Sections 2, 3.2, 3.5, 4.1 and 5).
# ILSVRC-2010's and ILSVRC-2012's exact counts are those of the challenges.
DATA_SET = "ILSVRC-2010 (Table 1), ILSVRC-2012 (Table 2)"
TRAINING_PICTURES = "1,261,406 (2010), 1,281,167 (2012)"
EVALUATED_PICTURES = "150,000 (2010 test), 50,000 (2012 validation)"
EPOCHS = "about 90"
BATCH_SIZE = "128"
COLUMNS = "2, one on each GPU"
PARAMETERS = "60,965,224, printed as 60 million"
DEVICES = "two GTX 580, 3 GB each"
TRAINING_TIME = "five to six days"

# Shipped with the authors' cuda-convnet2: square roots of the eigenvalues of the RGB covariance,
# and the means of the mean image's channels; both over ImageNet, in grey levels 0 to 255.
RGB_STANDARD_DEVIATIONS = (121.78, 37.09, 19.72)
CHANNEL_MEANS = (127.30, 119.72, 104.91)
