"""The house rules: data flows one way, no circles among modules, and functions that fit on a page."""

import ast
from functools import cache
from graphlib import CycleError, TopologicalSorter

import pytest
from conftest import ROOT
from imports import imports_of

LONGEST = 60
# What each folder of alexnet/ may import beside itself.
BELOW_PARALLEL = {"core", "store", "model", "feed"}
MAY_IMPORT: dict[str, set[str]] = {
    "core": set(),
    "store": {"core"},
    "model": {"core"},
    "ingest": {"core", "store"},
    "sample": {"core"},
    "feed": {"core", "store", "model"},
    "parallel": BELOW_PARALLEL,
    "training": BELOW_PARALLEL | {"parallel"},
    "evaluation": BELOW_PARALLEL | {"parallel"},
    "retrieval": BELOW_PARALLEL | {"parallel", "evaluation"},
    "foreign": {"core", "model"},
}
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted((ROOT / "alexnet").rglob("*.py"))
}


@cache
def imports(module: str) -> set[str]:
    return {*imports_of(MODULES[module], everywhere=True)}


def test_no_module_imports_itself_by_way_of_others() -> None:
    graph = {module: {name for name in imports(module) if name in MODULES} for module in MODULES}
    assert sum(len(imported) for imported in graph.values()) > len(MODULES)
    try:
        list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(" → ".join(reversed(error.args[1])))


@pytest.mark.parametrize("module", [name for name in MODULES if name.count(".") > 0])
def test_data_flows_one_way(module: str) -> None:
    folder = module.split(".")[1]
    others = {name.split(".")[1] for name in imports(module) if name.startswith("alexnet.")} - {folder}
    if folder == "report":
        assert "cli" not in others
    elif folder in MAY_IMPORT:
        assert others <= MAY_IMPORT[folder]
    assert not {name for name in imports(module) if name.split(".")[0] in ("stages", "experiments")}


def test_every_folder_has_a_rule() -> None:
    folders = {path.parent.name for path in (ROOT / "alexnet").glob("*/__init__.py")}
    assert folders == {*MAY_IMPORT, "report", "cli"}


@pytest.mark.parametrize("folder", ["alexnet", "stages", "experiments"])
def test_no_function_is_longer_than_a_page(folder: str) -> None:
    too_long, seen = [], 0
    for path in sorted((ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                seen += 1
                length = (node.end_lineno or 0) - node.lineno + 1
                if length > LONGEST:
                    too_long.append(f"{path.relative_to(ROOT)}: {node.name}: {length} lines")
    assert seen
    assert not too_long
