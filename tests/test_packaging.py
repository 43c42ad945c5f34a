"""What is built and installed: the wheel holds the wings file for file, the sdist what the tests need besides."""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from email.parser import Parser
from pathlib import Path

import numpy
import pytest

pytest.importorskip("build")

ROOT = Path(__file__).parents[1]
WINGS = ("spec", "reference", "backends", "conformance")
LEFT_OUT = shutil.ignore_patterns(
    ".git",
    ".tox",
    ".venv",
    ".*_cache",
    ".hypothesis",
    "__pycache__",
    "*.egg-info",
    "build",
    "dist",
    "certificates",
    "_build",
)


def run(*arguments, **options):
    """Run a command and return what it printed; a failure shows all that it said."""
    done = subprocess.run(arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options)
    assert done.returncode == 0, f"{' '.join(map(str, arguments))}\n{done.stdout}"
    return done.stdout


def files_of(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """Return a clean copy of the checkout."""
    return Path(shutil.copytree(ROOT, tmp_path_factory.mktemp("copy") / "lossproof", ignore=LEFT_OUT))


@pytest.fixture(scope="module")
def tree_files(tree):
    """Return the files of the copy as they are before anything is built in it."""
    return files_of(tree)


@pytest.fixture(scope="module")
def built(tree, tree_files, tmp_path_factory):
    """Return the folder that holds the sdist and, built from the sdist, the wheel."""
    folder = tmp_path_factory.mktemp("built")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, tree)
    return folder


@pytest.fixture(scope="module")
def wheel(built):
    (path,) = built.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def wheel_files(wheel):
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if not name.endswith("/")}


@pytest.fixture(scope="module")
def sdist_files(built):
    (path,) = built.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        return {member.name.partition("/")[2] for member in archive.getmembers() if member.isfile()}


@pytest.fixture(scope="module")
def metadata(wheel, wheel_files):
    (name,) = (name for name in wheel_files if name.endswith(".dist-info/METADATA"))
    with zipfile.ZipFile(wheel) as archive:
        return Parser().parsestr(archive.read(name).decode())


def in_wheel(wing, files):
    return {name for name in files if name.startswith(f"lossproof/{wing}/")}


@pytest.mark.parametrize("wing", WINGS)
def test_wheel_holds_a_wing_file_for_file(wing, tree_files, wheel_files):
    expected = {f"lossproof/{name}" for name in tree_files if name.startswith(f"{wing}/")}
    assert in_wheel(wing, wheel_files) == expected


def test_wheel_holds_the_package_itself_file_for_file(tree_files, wheel_files):
    expected = {name.replace("package/", "lossproof/", 1) for name in tree_files if name.startswith("package/")}
    assert {name for name in wheel_files if name.count("/") == 1 and name.startswith("lossproof/")} == expected


def test_wheel_holds_nothing_else(wheel_files):
    others = wheel_files.difference(*(in_wheel(wing, wheel_files) for wing in WINGS))
    others = {name for name in others if not (name.startswith("lossproof/") and name.count("/") == 1)}
    assert {name.partition("/")[0] for name in others} == {"lossproof-0.1.0.dist-info"}


def test_wheel_holds_the_license(wheel_files):
    assert "lossproof-0.1.0.dist-info/licenses/LICENSE" in wheel_files


def test_wheel_needs_numpy_alone(metadata):
    needed = [line for line in metadata.get_all("Requires-Dist") if "extra ==" not in line]
    assert needed == ["numpy>=1.26"]


def test_wheel_offers_an_extra_for_each_framework_and_the_judge(metadata):
    assert set(metadata.get_all("Provides-Extra")) == {"torch", "tensorflow", "jax", "certify"}


@pytest.mark.parametrize("folder", ["audit", "docs", "tests", "examples", ".ci"])
def test_sdist_holds_a_folder_file_for_file(folder, tree_files, sdist_files):
    expected = {name for name in tree_files if name.startswith(f"{folder}/")}
    assert {name for name in sdist_files if name.startswith(f"{folder}/")} == expected


@pytest.mark.parametrize("name", ["tox.ini", "pyproject.toml", "README.md", "LICENSE"])
def test_sdist_holds_what_tests_and_readers_need(name, sdist_files):
    assert name in sdist_files


@pytest.mark.parametrize("wing", [*WINGS, "package"])
def test_sdist_holds_a_wing_file_for_file(wing, tree_files, sdist_files):
    expected = {name for name in tree_files if name.startswith(f"{wing}/")}
    assert {name for name in sdist_files if name.startswith(f"{wing}/")} == expected


# the installed wheel


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """Return a folder with the wheel in it."""
    folder = tmp_path_factory.mktemp("installed")
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-cache-dir", "install", "--no-index")
    run(*pip, "--no-deps", "--no-compile", "--quiet", "--target", folder, wheel)
    return folder


@pytest.fixture
def run_installed(installed, tmp_path):
    """Run Python away from the checkout with the installed wheel before whatever else is installed.

    A folder of PYTHONPATH comes before site-packages and before the finder of an editable install; the tests make sure
    of it by asking where the modules come from.
    """

    def run_python(*arguments):
        environment = {**os.environ, "PYTHONPATH": str(installed), "PYTHONDONTWRITEBYTECODE": "1"}
        return run(sys.executable, *arguments, cwd=tmp_path, env=environment)

    return run_python


def test_spec_is_read_from_the_installed_wheel(run_installed, installed):
    code = "import lossproof.spec as s; print(s.__file__, s.page('triplet_margin').front['loss'])"
    file, loss = run_installed("-c", code).split()
    assert (Path(file), loss) == (installed / "lossproof" / "spec" / "__init__.py", "triplet_margin_loss")


def test_pages_of_the_installed_wheel_are_those_of_the_tree(run_installed):
    names = run_installed("-c", "import lossproof.spec as s; print(*s.page_names())").split()
    assert set(names) == {path.stem for path in (ROOT / "spec").glob("*.md")} - {"README"}


def test_reference_runs_without_any_other_installation(installed):
    """No site-packages at all, but for numpy: no editable install can lend a module."""
    paths = [str(installed), str(Path(numpy.__file__).parents[1])]
    code = (
        f"import sys; sys.path[:0] = {paths}\n"
        "from lossproof import reference; import numpy as np\n"
        "print(reference.__file__, reference.triplet_margin_loss(*np.zeros((3, 2, 3))))"
    )
    file, loss = run(sys.executable, "-I", "-S", "-c", code).split()
    assert (Path(file), loss) == (installed / "lossproof" / "reference" / "__init__.py", "1.0")


def test_judge_of_the_installed_wheel_certifies_numpy(run_installed, tmp_path):
    report = tmp_path / "report"
    certify = ("-m", "lossproof.conformance", "certify", "numpy", "--check", "value", "--examples", "1")
    assert "conformant" in run_installed(*certify, "--report", report)


def test_worker_runs_the_installed_wheel(run_installed, installed, tmp_path):
    probe = tmp_path / "probe.py"
    probe.write_text(
        "from pathlib import Path\n"
        "from lossproof import reference\n"
        f"assert Path(reference.__file__).parents[2] == Path({str(installed)!r}), reference.__file__\n"
        "triplet_margin_loss = reference.triplet_margin_loss\n"
    )
    certify = ("-m", "lossproof.conformance", "certify", "probe.py:triplet_margin_loss", "--framework", "numpy")
    report = tmp_path / "report"
    assert "conformant" in run_installed(*certify, "--check", "value", "--examples", "1", "--report", report)


def test_command_of_the_installed_wheel_prints_a_clause(run_installed, installed):
    assert "TM-1 · MUST · value" in run_installed(installed / "bin" / "lossproof", "spec", "TM-1")


def test_package_of_the_installed_wheel_is_the_command(run_installed):
    assert "TM-1 · MUST · value" in run_installed("-m", "lossproof", "spec", "TM-1")


def test_package_of_the_installed_wheel_says_its_version(run_installed, metadata):
    assert run_installed("-c", "import lossproof; print(lossproof.__version__)").strip() == metadata["Version"]
