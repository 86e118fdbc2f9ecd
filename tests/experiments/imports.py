"""Which of the project's own files a module needs, found by reading the import statements."""

import ast
from pathlib import Path

OWN = ("alexnet", "stages", "experiments")


def code_of(module: str, root: Path) -> set[str]:
    """Return the files that `module` and all that it imports consist of, relative to `root`."""
    found: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        path = _file(name, root)
        if path is None or str(path.relative_to(root)) in found:
            continue
        found.add(str(path.relative_to(root)))
        waiting += [name.rpartition(".")[0], *_imports(path)]
    return found


def _imports(path: Path) -> list[str]:
    names = []
    # At the top only: what a function imports is for those who call it.
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            # What is imported from a package may be a module of it.
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return [name for name in names if name.partition(".")[0] in OWN]


def _file(name: str, root: Path) -> Path | None:
    path = root.joinpath(*name.split("."))
    return next((found for found in (path.with_suffix(".py"), path / "__init__.py") if found.exists()), None)
