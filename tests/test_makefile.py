"""What `make` says while it sets up, with programs in place of Python and pip."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

MAKEFILE = Path(__file__).parents[1] / "Makefile"
PYTHON = """#!/bin/sh
# In place of `python3.11 -m venv FOLDER`: a pip that talks much, and fails at what FAILS names.
mkdir -p "$3/bin"
cat > "$3/bin/pip" <<'PIP'
#!/bin/sh
echo "Collecting much"
case "$*" in *"$FAILS"*) echo "ERROR: no such wheel" >&2; exit 1;; esac
PIP
chmod +x "$3/bin/pip"
"""


@pytest.fixture
def setup(tmp_path):
    """Run `make setup` in a folder of its own: exit code, and all that was printed."""
    shutil.copy(MAKEFILE, tmp_path)
    for name in ("pyproject.toml", "constraints.txt", "weights.txt"):
        (tmp_path / name).touch()
    python = tmp_path / "python"
    python.write_text(PYTHON)
    python.chmod(0o755)

    def run(fails: str) -> tuple[int, str]:
        command = ["make", "--no-print-directory", "setup", f"PYTHON={python}"]
        environment = os.environ | {"FAILS": fails}
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        return done.returncode, done.stdout

    return run


def test_installing_is_quiet_and_keeps_what_pip_said(setup, tmp_path):
    assert setup("nothing at all") == (0, "Installing into .venv (about two minutes) ...\n")
    assert (tmp_path / ".venv" / "install.log").read_text().count("Collecting much") == 3


@pytest.mark.parametrize("fails", ["torch", ".[dev]", "weights.txt"])
def test_an_installation_that_fails_says_why_and_names_its_log_and_is_tried_again(setup, tmp_path, fails):
    code, out = setup(fails)
    assert code != 0
    assert "ERROR: no such wheel" in out
    assert "all that it said is in .venv/install.log" in out
    assert "no such wheel" in (tmp_path / ".venv" / "install.log").read_text()
    assert setup("nothing at all")[0] == 0
