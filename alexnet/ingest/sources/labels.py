"""From the labels that shards hold, numbers or names, to WNIDs."""

import ast
import json
import re
from pathlib import Path

import pandas as pd

from alexnet.core.errors import UserError
from alexnet.ingest.sources.listing import NO_CLASS, WORDS, parse_words, text_of, with_words

# Files with the names of the classes, one a line, in the order of the numbers.
CLASS_NAMES = ("classes.txt", "labels.txt", "class_names.txt")
INFO, PYTHON = ("_info.json", "info.json"), "classes.py"
_WNID = re.compile(r"(?<![0-9A-Za-z])n\d{8}(?![0-9A-Za-z])")


def with_wnids(root: Path, pictures: pd.DataFrame, names: list[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Give `pictures`, whose ``wnid`` is a label as it was written, WNIDs; return them and the classes.

    A number is the place of a class in `names`, or in a list of classes in `root`. Where all training
    pictures of a label, and of no other, have one WNID in their names, this is the class. Labels of -1 are
    unknown.

    Raises:
        UserError: a picture for training or validation has no label, or a number stands for no class.
    """
    names = names or _names_in(root)
    labels = pictures["wnid"].astype(str).str.strip()
    unknown = labels.isin(["", "-1", "None", "nan"])
    lost = pictures[unknown & (pictures["split"] != "test")]
    if len(lost):
        raise UserError(f"{root / lost['path'].iloc[0]}: {lost['name'].iloc[0]} has no label")
    called = {label: _called(root, label, names) for label in labels[~unknown].unique()}
    wnids = _wnids_in_names(pictures[pictures["split"] == "train"], labels)
    found = labels.map(lambda label: wnids.get(label, called.get(label, NO_CLASS)))
    words = {wnids.get(label, name): name for label, name in called.items() if not label.isdecimal() or names}
    order = sorted(set(found[(~unknown) & (pictures["split"] == "train")]))
    strange = found[~unknown & ~found.isin(order)]
    if len(strange):
        raise UserError(f"{root}: class {strange.iloc[0]} has no training pictures")
    words |= _words_in(root, order)
    return pictures.assign(wnid=found.where(~unknown, NO_CLASS)), with_words(order, words)


def _called(root: Path, label: str, names: list[str]) -> str:
    if not label.isdecimal():
        return label
    if names and int(label) >= len(names):
        raise UserError(f"{root}: found the label {label}; allowed: 0 to {len(names) - 1}")
    if not names:
        return f"{int(label):05d}"
    name = names[int(label)]
    # Two classes may have one name: the bird and the machine are both a crane.
    return name if names.count(name) == 1 else f"{name} ({int(label)})"


def _wnids_in_names(train: pd.DataFrame, labels: pd.Series) -> dict[str, str]:
    found = train["name"].map(lambda name: (_WNID.findall(name) or [""])[-1])
    pairs = pd.DataFrame({"label": labels[train.index], "wnid": found}).drop_duplicates()
    if (pairs["wnid"] == "").any() or pairs["label"].duplicated().any() or pairs["wnid"].duplicated().any():
        return {}
    return dict(zip(pairs["label"], pairs["wnid"], strict=True))


def _names_in(root: Path) -> list[str]:
    for name in CLASS_NAMES:
        if (text := text_of(root / name)) is not None:
            return [line.strip() for line in text.splitlines() if line.strip()]
    for name in INFO:
        try:
            found = _list_of_names(json.loads(text_of(root / name) or "{}"))
        except ValueError as error:
            raise UserError(f"{root / name}: cannot be read: {error}") from None
        if found:
            return found
    return list(_dictionary_in(root / PYTHON).values())


def _list_of_names(content: object) -> list[str]:
    """Return the first list of texts under a key that says that they are classes."""
    if not isinstance(content, dict):
        return []
    for key in ("class_names", "classes", "label_names", "names"):
        value = content.get(key)
        if isinstance(value, list) and value and all(isinstance(name, str) for name in value):
            return value
    inner = (_list_of_names(value) for value in content.values())
    return next((names for names in inner if names), [])


def _words_in(root: Path, wnids: list[str]) -> dict[str, str]:
    for name in WORDS:
        if (text := text_of(root / name)) is not None:
            return parse_words(text, wnids)
    found = _dictionary_in(root / PYTHON)
    return {wnid: words for wnid, words in found.items() if wnid in wnids}


def _dictionary_in(path: Path) -> dict[str, str]:
    """Return the first dictionary of texts that is written out in a Python file, which is not run."""
    try:
        for node in ast.walk(ast.parse(text_of(path) or "")):
            if isinstance(node, ast.Dict):
                found = ast.literal_eval(node)
                if found and all(isinstance(text, str) for pair in found.items() for text in pair):
                    return dict(found)
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        raise UserError(f"{path}: cannot be read: {error}") from None
    return {}
