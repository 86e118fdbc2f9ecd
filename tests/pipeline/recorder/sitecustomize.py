"""Put on PYTHONPATH by a fixture: notes what each stage of a project opens, imports and reads.

Below the folder ALEXNET_RECORD, ``STAGE.files`` names files of the project and ``STAGE.params`` sections.
"""

import atexit
import os
import sys

_FOLDER = os.environ.get("ALEXNET_RECORD")
_ROOT = os.getcwd() + os.sep
_seen: set[str] = set()
_sections: set[str] = set()
# A stage's worker processes find its name where the stage left it.
_stage = os.environ.get("ALEXNET_RECORD_STAGE")
for _word in sys.orig_argv:
    if _word.startswith("stages."):
        _stage = _word.removeprefix("stages.")


def _note(event: str, arguments: tuple[object, ...]) -> None:
    if event == "alexnet.read":
        _sections.add(str(arguments[0]))
    if event == "open" and isinstance(arguments[0], str | os.PathLike):
        path = os.path.abspath(os.fspath(arguments[0]))
        mode = arguments[1] if isinstance(arguments[1], str) else ""
        if path.startswith(_ROOT) and not set(mode) & set("wax+"):
            _seen.add(path)


def _write() -> None:
    for module in list(sys.modules.values()):
        path = getattr(module, "__file__", None)
        if path and path.startswith(_ROOT):
            _seen.add(path)
    for kind, names in (("files", [path[len(_ROOT) :] for path in _seen]), ("params", _sections)):
        with open(f"{_FOLDER}/{_stage}.{kind}", "a", encoding="utf-8") as file:
            file.writelines(f"{name}\n" for name in sorted(names))


if _FOLDER and _stage:
    os.environ["ALEXNET_RECORD_STAGE"] = _stage
    sys.addaudithook(_note)
    atexit.register(_write)
