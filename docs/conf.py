"""How Sphinx makes the HTML pages of this folder: `make docs`."""

import re
import sys
from pathlib import Path
from typing import Any

from docutils.nodes import Node, literal
from pygments.lexers.special import TextLexer
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.nodes import make_refnode

DOCS = Path(__file__).parent
# The docstrings are those of this checkout, whatever is installed.
sys.path.insert(0, str(DOCS.parent))

import alexnet  # noqa: E402

project = "AlexNet, reproduced"
version = release = alexnet.__version__
extensions = ["sphinx.ext.autodoc", "sphinx.ext.napoleon", "myst_parser"]
exclude_patterns = ["_build"]

# Names in single backticks become links: see link_name.
default_role = "py:obj"
maximum_signature_line_length = 110
toc_object_entries_show_parents = "hide"
autodoc_inherit_docstrings = False
autodoc_member_order = "bysource"
autodoc_type_aliases = {"Picture": "alexnet.classifier.Picture"}
napoleon_numpy_docstring = False
# Arguments and attributes as plain lists, in which several names may share a line.
napoleon_use_param = False
napoleon_custom_sections = [("Attributes", "params_style")]

myst_heading_anchors = 3
# The site lies in docs/_build: see point_to_checkout.
myst_url_schemes = {"http": None, "https": None, "checkout": "../{{path}}"}

html_theme = "alabaster"
html_theme_options = {
    "page_width": "1400px",
    "body_max_width": "none",
    "sidebar_width": "260px",
    "show_powered_by": False,
}
html_sidebars = {"**": ["about.html", "searchfield.html", "navigation.html", "localtoc.html"]}
html_static_path = ["_static"]
html_copy_source = False
html_show_copyright = False


def point_to_checkout(app: Sphinx, page: str, source: list[str]) -> None:
    """Lead the links out of this folder to the files of the checkout, and to their HTML where there is any.

    Sphinx warns of links to files that do not exist.
    """

    def marked(link: re.Match[str]) -> str:
        target = Path(link[1])
        if not (DOCS / target).exists():
            return link[0]
        as_html = target.with_suffix(".html")
        return f"](checkout:{as_html if (DOCS / as_html).exists() else target})"

    source[0] = re.sub(r"\]\((\.\./[^)\s]+)\)", marked, source[0])


def prepare_docstring(app: Sphinx, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """Show commands as code, and let what follows `Returns:` be text, also where it has a colon.

    Napoleon would take the words before the colon for a type.
    """
    lines[:] = [re.sub(r"\((python -m [^)]+)\)", r"(``\1``)", line) for line in lines]
    for number, line in enumerate(lines[:-1]):
        if line.strip() == "Returns:":
            lines[number + 1] = re.sub(r"(\S.*)", r": \1", lines[number + 1])


ARRAY = re.compile(r"numpy\.ndarray\[tuple\[~typing\.Any, \.\.\.\], ~numpy\.dtype\[([~\w.]+)\]\]")
PICTURE = re.compile(
    r"str \| ~pathlib\.Path \| ~PIL\.\S+ \| ~numpy\.typing\.NDArray\[~numpy\.uint8\] \| ~torch\.Tensor"
)


def shorten_types(
    app: Sphinx, what: str, name: str, thing: Any, options: Any, arguments: str | None, returned: str | None
) -> tuple[str, str | None] | None:
    """Name arrays and pictures in a signature as the code does, and leave out what no user passes.

    That is what a protocol seems to take, and private fields.
    """
    if arguments is None:
        return None
    if arguments == "(*args, **kwargs)" or re.search(r"\b_\w+:", arguments):
        arguments = ""
    return _shortened(arguments), returned and _shortened(returned)


def _shortened(signature: str) -> str:
    return PICTURE.sub("~alexnet.classifier.Picture", ARRAY.sub(r"numpy.typing.NDArray[\1]", signature))


def link_name(app: Sphinx, environment: BuildEnvironment, node: pending_xref, shown: Node) -> Node | None:
    """Link a name in backticks to the one object that ends in it; show others, such as arguments, as code."""
    if node["reftype"] != "obj" or not isinstance(shown, literal):
        return None
    objects = environment.domains.python_domain.objects
    found = [name for name in objects if name.endswith(f".{node['reftarget']}")]
    if len(found) != 1:
        shown["classes"] = []
        return shown
    target = objects[found[0]]
    return make_refnode(app.builder, node["refdoc"], target.docname, target.node_id, shown, found[0])


def setup(app: Sphinx) -> None:
    app.connect("source-read", point_to_checkout)
    # Before napoleon, which comes at 500.
    app.connect("autodoc-process-docstring", prepare_docstring, priority=400)
    app.connect("autodoc-process-signature", shorten_types)
    app.connect("missing-reference", link_name)
    # GitHub draws these diagrams; here they are shown as text.
    app.add_lexer("mermaid", TextLexer)
