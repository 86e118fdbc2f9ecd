"""What a module imports, and which of the project's own files it needs, by its import statements."""

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
        waiting += [name.rpartition(".")[0], *imports_of(path)]
    return found


def imports_of(path: Path, everywhere: bool = False) -> list[str]:
    """Return what a file imports at run time: at its top, or `everywhere` in it, in functions too.

    What is imported from a package may be a module of it, so both names are returned.
    """
    tree, names = ast.parse(path.read_text(encoding="utf-8")), []
    nodes = list(ast.walk(tree)) if everywhere else tree.body
    # What only a type checker sees is no import.
    unseen = {
        inner
        for node in nodes
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for statement in node.body
        for inner in ast.walk(statement)
    }
    for node in nodes:
        if node in unseen:
            continue
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: a relative import"
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return names


def _file(name: str, root: Path) -> Path | None:
    path = root.joinpath(*name.split("."))
    return next((found for found in (path.with_suffix(".py"), path / "__init__.py") if found.exists()), None)
