"""The photographs that the report shows, from the store of records, and the images made of them."""

import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from alexnet.core.errors import UserError
from alexnet.core.terminal import say
from alexnet.report.markup import warning
from alexnet.store.records import Records, decoded, open_records
from alexnet.store.verified import refuse_damaged_shards

Photograph = NDArray[np.uint8]
# Between the photographs of a sheet, in pixels.
GAP = 4
# Of WebP: a tenth of a PNG's bytes, and no difference to see.
QUALITY = 75


class Photographs:
    """Pixels of records by split and number, if `shown`; what cannot be read is named in `missing`."""

    def __init__(self, folder: Path, shown: bool) -> None:
        self.folder, self.shown = folder, shown
        # In the order in which they were found missing, each once.
        self.missing: dict[str, None] = {}
        self._open: dict[str, Records | None] = {}

    def records(self, split: str) -> Records | None:
        """Return the records of a split, None if they cannot be opened."""
        if split not in self._open:
            try:
                refuse_damaged_shards(self.folder)
                self._open[split] = open_records(self.folder, split)
            except (OSError, UserError) as error:
                if not self.missing:
                    say(f"report: photographs are left out: {error}")
                self.missing[f"all of {split}"] = None
                self._open[split] = None
        return self._open[split]

    def pixels(self, split: str, record: int) -> Photograph | None:
        """Return a record's pixels, uint8 (256, 256, 3), None if they cannot be read or none are shown."""
        records = self.records(split) if self.shown else None
        if records is None:
            return None
        try:
            return decoded(records, record)
        except (OSError, ValueError, IndexError):
            name = records.names[record] if record < len(records) else f"record {record}"
            self.missing[f"{name} of {split}"] = None
            return None

    @property
    def absence(self) -> str:
        """What the page says where no picture is shown."""
        if not self.shown:
            return "No pictures are shown (`report.photographs: false`)."
        return warning(f"None of these pictures could be read from {self.folder}.")


def webp(image: Image.Image) -> bytes:
    """Return an image as WebP."""
    buffer = io.BytesIO()
    image.save(buffer, format="WEBP", quality=QUALITY, method=4)
    return buffer.getvalue()
