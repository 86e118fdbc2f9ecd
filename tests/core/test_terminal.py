"""What people see of a command, and what happens when nobody looks any more."""

import io
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

from alexnet.core.errors import UserError, shown_plainly
from alexnet.core.terminal import OUTPUT, say


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("plain, with ümlaut and 汉字", "plain, with ümlaut and 汉字"),
        ("two\nlines\r", r"two\nlines\r"),
        ("\x1b[2Jcleared", r"\x1b[2Jcleared"),
        ("turned\u202egnp.exe", r"turned\u202egnp.exe"),
        ("not UTF-8: \udcff", r"not UTF-8: \udcff"),
    ],
)
def test_names_cannot_act_on_the_terminal(name: str, shown: str, capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        raise UserError(name)

    say(name)
    with pytest.raises(SystemExit):
        shown_plainly(fail)()
    assert tuple(capsys.readouterr()) == (f"{shown}\n", f"error: {shown}\n")


def test_an_output_in_latin_1() -> None:
    content = io.BytesIO()
    stream = io.TextIOWrapper(content, encoding="latin-1")
    say("a × b → c", stream)
    assert content.getvalue() == b"a \xd7 b \\u2192 c\n"


LINES = """
from alexnet.core.stage import run
from alexnet.core.terminal import say

def main() -> None:
    try:
        for number in range(100_000):
            say(f"line {number}")
    except KeyboardInterrupt:
        say("stopped in good order")
        raise

"""


def test_ctrl_c_while_a_stage_still_imports_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "typer.py").write_text("import time\nprint('importing', flush=True)\ntime.sleep(60)\n")
    command = [sys.executable, "-m", "stages.check"]
    place = {"PYTHONPATH": f"{tmp_path}:{ROOT}", "PYTHONSAFEPATH": "1"}
    # In the background of a shell the signal is ignored, also by what is started there.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    with subprocess.Popen(
        command, env=place, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        signal.signal(signal.SIGINT, before)
        assert running.stdout is not None
        assert running.stdout.readline() == "importing\n"
        running.send_signal(signal.SIGINT)
        errors = running.communicate()[1]
    assert (running.returncode, errors) == (130, "interrupted\n")


@pytest.mark.parametrize(("entry", "is_stage"), [("run(main)", True), ("main()", False)])
def test_a_reader_that_leaves(entry: str, is_stage: bool, tmp_path: Path) -> None:
    command = [sys.executable, "-c", LINES + entry]
    running = subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert running.stdout is not None
    assert running.stderr is not None
    assert running.stdout.readline() == "line 0\n"
    running.stdout.close()
    errors = running.stderr.read()
    running.stderr.close()
    if is_stage:
        assert (running.wait(), errors) == (130, "interrupted\n")
        rest = (tmp_path / OUTPUT).read_text().splitlines()
        assert rest[-1] == "stopped in good order"
        assert rest[0].startswith("line ")
    else:
        assert (running.wait(), errors) == (141, "")
        assert not (tmp_path / OUTPUT).exists()


def test_a_closed_output_is_not_written_to() -> None:
    program = (
        "import sys; from alexnet.core.progress import chosen_style; from alexnet.core.terminal import say;"
        " say('x'); sys.exit(chosen_style('auto') == 'lines' and 7)"
    )
    shell = f'exec "{sys.executable}" -c "{program}" >&- 2>&-'
    assert subprocess.run(["bash", "-c", shell], check=False).returncode == 7
