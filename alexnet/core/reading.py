"""Reading what other stages wrote into the types of those who write it, and naming what is wrong with it."""

import csv
import io
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from alexnet.core.errors import UserError
from alexnet.core.files import as_it_was, parse_checked_json
from alexnet.core.params import Strict

REMEDY = "Run `dvc repro` to make it again."

Fraction = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(ge=1)]


class Written(Strict):
    """The content of a file that a stage wrote; further keys are ignored."""

    model_config = ConfigDict(extra="ignore", allow_inf_nan=True)


W = TypeVar("W", bound=Written)
T = TypeVar("T")


def read_json(path: Path, model: type[W]) -> W:
    """Return the content of a JSON file.

    Raises:
        UserError: it is missing or not a `model`; the message names the file and the key.
    """
    content = _read_bytes(path)
    try:
        parse_checked_json(content)
        return model.model_validate_json(content)
    except ValueError as error:
        problem = _explain(error) if isinstance(error, ValidationError) else error
        raise UserError(f"{path}: {problem}. {REMEDY}") from None


def read_rows(
    path: Path, row: type[T], columns: Collection[str], groups: Mapping[str, str] | None = None
) -> Iterator[T]:
    """Yield the rows of a CSV file.

    Args:
        row: the type of a row, a dataclass or a pydantic model.
        columns: those that must be there.
        groups: by the name of a field that is a dictionary, the prefix of the columns it holds.

    Raises:
        UserError: the file is missing or its content is no such rows; the message names file and line.
    """
    adapter = TypeAdapter(row)
    # A file name need not be UTF-8; what cannot be decoded is shown as an escape.
    text = _read_bytes(path).decode("utf-8", errors="backslashreplace")
    rows = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    rows.fieldnames = [as_it_was(name) for name in rows.fieldnames or ()]
    missing = [name for name in columns if name not in rows.fieldnames]
    if missing:
        raise UserError(f"{path}: missing columns: {', '.join(missing)}. {REMEDY}")
    try:
        for cells in rows:
            where = f"{path}: line {rows.line_num}"
            if None in cells or None in cells.values():
                raise UserError(f"{where}: not as many cells as columns. {REMEDY}")
            try:
                found: dict[str, Any] = {name: as_it_was(cell) for name, cell in cells.items()}
                for field, prefix in (groups or {}).items():
                    own = [name for name in cells if name.startswith(prefix)]
                    found[field] = {name.removeprefix(prefix): found[name] for name in own}
                yield adapter.validate_strings(found)
            except ValidationError as error:
                raise UserError(f"{where}: {_explain(error)}. {REMEDY}") from None
    except csv.Error as error:
        raise UserError(f"{path}: line {rows.line_num}: {error}. {REMEDY}") from None


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise UserError(f"{path}: no such file. {REMEDY}") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}. {REMEDY}") from None


def _explain(error: ValidationError) -> str:
    problem = error.errors(include_url=False)[0]
    key = ".".join(str(part) for part in problem["loc"])
    message = problem["msg"].rstrip(".")
    return f"{key}: {message}" if key else message
