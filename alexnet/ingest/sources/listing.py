"""What every source returns: its classes, and one row per picture."""

import os
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

import pandas as pd

from alexnet.core.errors import UserError
from alexnet.core.terminal import say
from alexnet.ingest.raw_files import is_file, is_remote
from alexnet.ingest.sources.pictures import is_junk
from alexnet.store.index import LEFT_OUT

# The class of a picture whose source does not give it.
NO_CLASS = ""
# What a reader tells of each file in an archive; `container` is what the layout needs besides, as a class.
MEMBERS = ["container", "name", "offset", "size"]
Member = tuple[str, str, int, int]
COLUMNS = ["split", "wnid", "name", "path", "packing", "form", "offset", "size"]

# Files with a line for each class, its name and its words.
WORDS = ("words.txt", "LOC_synset_mapping.txt")
# What people call the folder of a split; the first that is there is taken.
SPLIT_FOLDERS = {"train": ("train",), "val": ("val", "valid", "validation", "dev"), "test": ("test",)}
SPLIT_NAMES = {name: split for split, names in SPLIT_FOLDERS.items() for name in names}
SPLIT_NAMES["training"] = "train"
# A file that is one of several: its name up to its number, the number, and of how many.
_NUMBERED = re.compile(r"(.*?)(\d+)(?:-of-(\d+).*|\D*)")
_SPLIT = re.compile(rf"(?<![a-z])({'|'.join(sorted(SPLIT_NAMES, key=len, reverse=True))})(?![a-z])")

# Returns what a reader finds in one archive, perhaps remembered from an earlier call.
Scan = Callable[[Path, Callable[[Path], pd.DataFrame]], pd.DataFrame]


@dataclass(frozen=True)
class Listing:
    """What a source holds.

    Attributes:
        layout: one of `alexnet.ingest.params.Layout`, but ``auto``.
        classes: one row per class in label order: wnid, words, and ilsvrc_id where the source gives
            each class a number on the challenge's server.
        pictures: one row per picture: split, wnid (`NO_CLASS` in a test split without labels), name, and
            where its bytes lie as in the index: path (relative to the root), packing, form, offset, size.
        left_out: one row per file that is no picture: name and reason.
    """

    layout: str
    classes: pd.DataFrame
    pictures: pd.DataFrame
    left_out: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=LEFT_OUT))


def as_pictures(
    found: pd.DataFrame, split: pd.Series | str, path: str, wnids: pd.Series | str, packing: str = "none"
) -> pd.DataFrame:
    """Return rows of a `Listing` for what was `found` (name, offset, size) in the file `path`."""
    known = {"split": split, "wnid": wnids, "path": path, "packing": packing, "form": "file"}
    return found[["name", "offset", "size"]].assign(**known)[COLUMNS]


def files_of_splits(root: Path, *patterns: str) -> dict[Path, str]:
    """Return the files below `root` whose name, or else its folder's, says a split, and the split of each."""
    found = {}
    for path in sorted(_files_below(root, patterns)):
        relative = str(path.relative_to(root))
        matches = [_SPLIT.search(part) for part in reversed(relative.lower().split("/"))]
        match = next((match for match in matches if match), None)
        if match and not is_junk(relative):
            found[path] = SPLIT_NAMES[match[1]]
    return found


def _files_below(root: Path, patterns: Collection[str]) -> Iterator[Path]:
    """Yield the files below `root` whose names match, also those behind a link to a folder."""
    if is_remote(root):
        yield from (path for pattern in patterns for path in root.rglob(pattern))
        return
    for place, folders, names in os.walk(root, onerror=_refuse, followlinks=True):
        here = Path(place)
        # A link to a folder on the way here would lead in circles.
        above = {each.resolve() for each in (here, *here.parents)}
        folders[:] = [name for name in folders if not is_junk(name) and (here / name).resolve() not in above]
        yield from (here / name for name in names if any(fnmatchcase(name, pattern) for pattern in patterns))


def _refuse(error: OSError) -> None:
    # By default a folder that cannot be read counts as empty.
    raise error


def say_what_is_missing(root: Path, files: Mapping[Path, str]) -> None:
    """Say how many of numbered `files` are not there, and whether there are several of one name and split."""
    numbers: dict[tuple[Path, str, str], set[int]] = {}
    for path in files:
        if match := _NUMBERED.fullmatch(path.name):
            numbers.setdefault((path.parent, match[1], match[3] or ""), set()).add(int(match[2]))
    for (folder, before, of), there in numbers.items():
        expected = int(of) if of else max(there) - min(there) + 1
        if len(there) < expected:
            say(
                f"index: {folder}: {expected - len(there):,} of {expected:,} files {before}… are not there;"
                " the others are used"
            )
    copies = Counter((split, path.name.removesuffix(".gz")) for path, split in files.items())
    (_, name), count = copies.most_common(1)[0]
    if count > 1:
        say(
            f"index: {root}: {name} is there {count:,} times (in other folders, or compressed), and all are"
            " used. If they are copies, or forms of the same pictures, name one folder as data_root."
        )


def refuse_duplicates(path: Path, names: pd.Series) -> None:
    """Refuse two pictures of one name with a `UserError`."""
    twins = names[names.duplicated()]
    if len(twins):
        raise UserError(f"{path}: two pictures are named {twins.iloc[0]}; each name may stand once")


def told_apart(pictures: pd.DataFrame, names: pd.Series) -> pd.DataFrame:
    """Return `pictures`, where those that share split and name take the name that `names` has for them."""
    twins = pictures.duplicated(["split", "name"], keep=False)
    return pictures.assign(name=pictures["name"].mask(twins, names))


def with_words(wnids: list[str], words: dict[str, str]) -> pd.DataFrame:
    """Return the classes in label order; one that is not in `words` is called by its own name."""
    return pd.DataFrame({"wnid": wnids, "words": [words.get(wnid) or _spoken(wnid) for wnid in wnids]})


def as_text(content: bytes, where: Path | str) -> str:
    """Return the text of what was read from the file `where`, with or without a byte-order mark.

    Raises:
        UserError: it is not UTF-8.
    """
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UserError(f"{where} line {line}: not in UTF-8, which is needed. Save it as UTF-8.") from None


def text_of(path: Path) -> str | None:
    """Return the text of a file, or None when it is not there."""
    return as_text(path.read_bytes(), path) if is_file(path) else None


def parse_words(text: str, wnids: Collection[str]) -> dict[str, str]:
    """Return the words of each WNID from lines of a WNID, a tab or space, and words.

    Where there is no tab, one of `wnids` that has spaces itself is known by that.
    """
    known, words = set(wnids), dict[str, str]()
    for line in text.splitlines():
        wnid, _, rest = line.partition("\t") if "\t" in line else _at_a_space(line, known)
        if wnid.strip() and rest.strip():
            words[wnid.strip()] = rest.strip()
    return words


def _at_a_space(line: str, wnids: set[str]) -> tuple[str, str, str]:
    """Split behind the longest beginning that is one of `wnids`, or else behind the first word."""
    line = line.strip()
    ends = [len(line), *(place for place in reversed(range(len(line))) if line[place] == " ")]
    end = next((end for end in ends if line[:end] in wnids), None)
    return line.partition(" ") if end is None else (line[:end], " ", line[end:])


def _spoken(name: str) -> str:
    return " ".join(name.replace("_", " ").replace("-", " ").split()) or name


def names_in(root: Path, most: int = 8) -> str:
    """Return the first names in the folder `root` for a message, those of folders before those of files."""
    entries = sorted((not entry.is_dir(), entry.name) for entry in root.iterdir())
    names = [name if is_file else f"{name}/" for is_file, name in entries]
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return (", ".join(names[:most]) or "nothing") + more
