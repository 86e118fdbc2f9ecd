"""The page in a headless Chromium, without a network; skipped, and said so, where there is none."""

import os
import re
import shutil
import subprocess
from dataclasses import replace
from html import escape
from pathlib import Path

import pytest

from alexnet.report.facts import Facts
from alexnet.report.page import page_as_html
from alexnet.report.report import all_parts


@pytest.fixture(scope="module")
def text(facts: Facts) -> str:
    sharp = facts.settings.model_copy(update={"kernel_pixels": 6, "figure_dpi": 120})
    return page_as_html("AlexNet on made numbers", "Made.", all_parts(replace(facts, settings=sharp)))


def chromium(tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    binary = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("chrome")
    if binary is None:
        pytest.skip("no Chromium on the PATH")
    switches = (
        "headless no-sandbox disable-gpu disable-quic no-first-run disable-background-networking"
        " disable-component-update disable-sync enable-logging=stderr v=0"
    )
    return subprocess.run(
        [
            binary,
            *(f"--{switch}" for switch in switches.split()),
            "--host-resolver-rules=MAP * ~NOTFOUND",
            f"--user-data-dir={tmp_path / 'browser'}",
            *arguments,
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
        env=os.environ | {"HOME": str(tmp_path)},
    )


def test_page_opens_in_a_browser_without_network(text: str, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text(text, encoding="utf-8")
    browser = chromium(tmp_path, "--dump-dom", path.as_uri())
    assert "CONSOLE" not in browser.stderr
    assert browser.stdout.count("<table") >= 8
    assert browser.stdout.count("<img") == 29
    # The script ran: the tables that can be sorted have buttons.
    assert browser.stdout.count("<button>") >= 9


PROBE = """<script>onload = () => {
  const broken = [...document.images].filter(image => !image.naturalWidth).length;
  const sideways = document.documentElement.scrollWidth - document.documentElement.clientWidth;
  const table = document.querySelector("table.sortable");
  const head = table.tHead.rows[0].cells[2];
  const sorted = (way) => {
    head.querySelector("button").click();
    const values = [...table.tBodies[0].rows].map(row => Number(row.cells[2].textContent));
    return values.every((value, n) => !n || way * (value - values[n - 1]) >= 0) && head.ariaSort;
  };
  const told = `${broken} broken, ${sideways} too wide, ${sorted(1)}, ${sorted(-1)}`;
  parent.document.body.dataset.probe = told;
}</script></body>"""


@pytest.mark.parametrize("width", [320, 390, 1280])
def test_page_fits_its_window_and_its_tables_sort(text: str, tmp_path: Path, width: int) -> None:
    # A frame, for a headless window is never narrower than 500 pixels. The page's own policy would
    # not run the probe.
    unguarded = re.sub(r"<meta http-equiv=.*?>\n", "", text)
    assert unguarded != text
    framed = escape(unguarded.replace("</body>", PROBE))
    path = tmp_path / "frame.html"
    frame = f'<iframe srcdoc="{framed}" style="border: 0; width: {width}px; height: 9000px">'
    path.write_text(f"<!DOCTYPE html>{frame}</iframe>", encoding="utf-8")
    browser = chromium(tmp_path, "--dump-dom", path.as_uri())
    found = re.search(r'<body data-probe="([^"]*)"', browser.stdout)
    assert found
    assert found[1] == "0 broken, 0 too wide, ascending, descending"


def test_a_script_that_is_not_the_pages_own_is_not_run(text: str, tmp_path: Path) -> None:
    path = tmp_path / "attacked.html"
    attack = '<script>document.title = "attacked"</script><img src=x onerror="document.title = 1">'
    path.write_text(text.replace("</main>", f"</main>{attack}"), encoding="utf-8")
    browser = chromium(tmp_path, "--dump-dom", path.as_uri())
    assert "<title>AlexNet on made numbers</title>" in browser.stdout
    assert "Content Security Policy" in browser.stderr
