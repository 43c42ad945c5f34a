"""The walls: who imports whom, the same names in every wing, and what each package folder holds."""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from lossproof.spec import clauses, losses, page, page_names

ROOT = Path(__file__).parents[1]
WINGS = ("spec", "reference", "backends", "conformance")
FRAMEWORKS = {"torch": {"torch"}, "tensorflow": {"tensorflow", "keras", "numpy"}, "jax": {"jax", "numpy"}}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def modules(folder):
    return sorted((ROOT / folder).rglob("*.py"))


def named(path):
    return path.relative_to(ROOT).as_posix()


def parsed(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def imports(tree):
    """Yield the full name of everything that is imported anywhere in a module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = "." * node.level + (node.module or "")
            yield from (f"{start}.{alias.name}" for alias in node.names)


def within(name, packages):
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def foreign(tree, allowed):
    """Return what a module imports beyond the standard library and the packages it may import."""
    return {name for name in imports(tree) if not within(name, allowed | set(sys.stdlib_module_names))}


def distribution_names(requirements):
    return {re.match(r"[\w-]+", requirement)[0] for requirement in requirements}


# who imports whom

BASE = distribution_names(PROJECT["project"]["dependencies"])
JUDGE = BASE | distribution_names(PROJECT["project"]["optional-dependencies"]["certify"]) | {"markdown_it"}
OF_MUTANTS = {
    "center": {"torch", "lossproof.reference"},  # an update that takes what the checks refuse
    "elsewhere": {"tensorflow", "jax", "lossproof.reference"},
    "legal": {"lossproof.reference", "lossproof.spec"},  # the checks of the reference, and what is like what
    "modes_tensorflow": {"tensorflow"},
    "modes_jax": {"jax"},
    "updates_torch": {"torch", "lossproof.reference"},
    "weights": {"torch", "lossproof.backends"},  # right terms: what is broken is how they are weighed
    "class_weights": {"torch", "lossproof.backends"},  # likewise right costs
    "devices": {"torch", "lossproof.backends"},  # right losses: what is broken is how their batch is spread
    "second_set": {"torch", "lossproof.backends"},  # right losses: what is broken is what they are compared with
    "variants": {"torch", "lossproof.spec"},  # what losses there are, and which of their arrays have rows
}
OF_TOOLS = {"migrating": {"lossproof.backends.migration"}, "mutation": {"torch", "cosmic_ray"}}
OF_SITE = {"docs", "lossproof.spec", "lossproof.reference", "lossproof.conformance.report", *JUDGE}
OF_SITE |= {"docutils", "griffe", "math_core", "sphinx", "yaml"}
WALLS = [
    (ROOT / "package" / "__init__.py", {"lossproof.backends.migration"}),
    (ROOT / "package" / "__main__.py", {"lossproof.conformance"}),
    (ROOT / "package" / "testing.py", {"lossproof.conformance", "pytest"}),
    *((path, {"lossproof.spec"}) for path in modules("spec")),
    *((path, {"lossproof.spec", "lossproof.reference", *BASE}) for path in modules("reference")),
    (ROOT / "backends" / "__init__.py", set()),
    (ROOT / "backends" / "migration.py", {"lossproof.spec", "lossproof.backends", *FRAMEWORKS}),
    *(
        (path, {"lossproof.spec.arguments", f"lossproof.backends.{framework}", *own})
        for framework, own in FRAMEWORKS.items()
        for path in modules(f"backends/{framework}")
    ),
    *(
        (path, {"lossproof.spec", "lossproof.reference", "lossproof.conformance", *JUDGE})
        for path in modules("conformance")
        if path.parent.name not in ("frameworks", "peers", "formulas")
    ),
    *(
        (path, {"lossproof.conformance", *BASE, *own})
        for framework, own in FRAMEWORKS.items()
        for path in sorted((ROOT / "conformance" / "host" / "frameworks").glob(f"{framework}*.py"))
    ),
    *(
        (path, {"lossproof.spec", "lossproof.conformance", "audit", *JUDGE, *OF_TOOLS.get(path.stem, set())})
        for path in sorted((ROOT / "audit").glob("*.py"))
    ),
    *(
        (path, {"lossproof.conformance", "audit.mutants", *BASE, *OF_MUTANTS.get(path.stem, {"torch"})})
        for path in modules("audit/mutants")
    ),
    *((path, {"lossproof.conformance", *BASE, path.stem, "torch"}) for path in modules("conformance/peers")),
    *((path, OF_SITE) for path in modules("docs/generate")),
]


@pytest.mark.parametrize(("path", "allowed"), [pytest.param(*wall, id=named(wall[0])) for wall in WALLS])
def test_module_imports_nothing_beyond_its_wall(path, allowed):
    assert foreign(parsed(path), allowed) == set()


# The rooms of the judge, the lowest first: a room imports what lies below it. The face is what lies in no room.
FLOORS = ("schemas", "host", "identify", "plan", "judge", "checks", "report", "side_by_side", "face")
BELOW = {room: set(FLOORS[:floor]) for floor, room in enumerate(FLOORS)} | {"peers": {"host"}}
for other in ("plan", "judge", "checks", "report", "side_by_side"):
    BELOW[other] -= {"identify"}  # which setting a function is has no part in whether it is right
BELOW["report"] -= {"checks"}  # what a person reads does not depend on how it was asked


def room_of(parts):
    """Return the room of a path or a name below `lossproof.conformance`."""
    return parts[0] if parts and (ROOT / "conformance" / parts[0]).is_dir() else "face"


@pytest.mark.parametrize("path", modules("conformance"), ids=named)
def test_module_of_the_judge_imports_its_own_room_and_what_lies_below(path):
    room = room_of(path.relative_to(ROOT / "conformance").parts)
    names = [name.split(".")[2:] for name in imports(parsed(path)) if within(name, {"lossproof.conformance"})]
    assert {room_of(name) for name in names} - {room} <= BELOW[room]


def test_every_room_of_the_judge_has_a_floor():
    rooms = {path.name for path in (ROOT / "conformance").iterdir() if (path / "__init__.py").is_file()}
    assert rooms == BELOW.keys() - {"face"}


def test_no_two_modules_of_the_judge_import_each_other():
    of = {
        path.with_suffix("").relative_to(ROOT / "conformance").parts: {
            tuple(name.split(".")[2:]) for name in imports(parsed(path)) if within(name, {"lossproof.conformance"})
        }
        for path in modules("conformance")
    }
    arrows = {(a, b) for a, found in of.items() for b in of if any(name[: len(b)] == b for name in found)}
    assert [(a, b) for a, b in sorted(arrows) if a < b and (b, a) in arrows] == []


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("import lossproof.backends.torch", "lossproof.backends.torch"),
        ("from lossproof import backends", "lossproof.backends"),
        ("from lossproof.backends.torch import distances as d", "lossproof.backends.torch.distances"),
        ("from ..backends import torch", "..backends.torch"),
        ("from .. import backends", ".backends"),
        ("def f():\n    import torch.nn", "torch.nn"),
        ("import lossproof.specification", "lossproof.specification"),
    ],
)
def test_wall_sees_every_form_of_import(source, name):
    assert any(found.endswith(name) for found in foreign(ast.parse(source), {"lossproof.spec", "numpy"}))


@pytest.mark.parametrize("path", [p for wing in WINGS[:3] for p in modules(wing)], ids=named)
def test_spec_reference_and_backends_import_nothing_by_string(path):
    names = {node.id for node in ast.walk(parsed(path)) if isinstance(node, ast.Name)}
    attributes = {node.attr for node in ast.walk(parsed(path)) if isinstance(node, ast.Attribute)}
    assert (names | attributes).isdisjoint({"__import__", "import_module", "exec", "eval"})


def test_judge_names_a_backend_in_one_module_only():
    def strings(path):
        return [n.value for n in ast.walk(parsed(path)) if isinstance(n, ast.Constant) and isinstance(n.value, str)]

    holders = [named(p) for p in modules("conformance") if any("lossproof.backends" in s for s in strings(p))]
    assert holders == ["conformance/host/implementation.py"]


def loaded_by(statement):
    """Return the top-level modules that a fresh interpreter holds after a statement."""
    code = f"{statement}; import sys; print(*{{name.split('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_the_torch_backend_does_not_load_the_compiler():
    pytest.importorskip("torch")
    code = "import lossproof.backends.torch, sys; print('torch._dynamo' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False"]


def test_spec_loads_no_numpy():
    assert "numpy" not in loaded_by("import lossproof.spec, lossproof.spec.arguments")


@pytest.mark.parametrize(
    "module",
    [
        "lossproof",
        "lossproof.spec",
        "lossproof.reference",
        "lossproof.backends",
        "lossproof.backends.migration",
        "lossproof.conformance",
    ],
)
def test_import_loads_no_framework(module):
    assert loaded_by(f"import {module}").isdisjoint({"torch", "tensorflow", "keras", "jax"})


def test_loaded_modules_are_seen():
    assert "numpy" in loaded_by("import numpy.linalg")


# the same names in every wing

HOMES = ["reference", *(f"backends/{framework}" for framework in FRAMEWORKS)]
every_home = pytest.mark.parametrize("home", HOMES)


def exported(home):
    """Return `__all__` of a package as it stands in its text."""
    for node in parsed(ROOT / home / "__init__.py").body:
        if isinstance(node, ast.Assign) and any(getattr(t, "id", "") == "__all__" for t in node.targets):
            return ast.literal_eval(node.value)
    return []


@every_home
@pytest.mark.parametrize("name", [n for n in page_names() if n != "conventions"])
def test_page_has_its_module(home, name):
    assert (ROOT / home / f"{name}.py").is_file()


@every_home
@pytest.mark.parametrize("loss", losses())
def test_loss_is_defined_in_the_module_of_its_page(home, loss):
    tree = parsed(ROOT / home / f"{losses()[loss].name}.py")
    assert loss in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


@every_home
@pytest.mark.parametrize("loss", losses())
def test_loss_is_exported(home, loss):
    assert loss in exported(home)


@pytest.mark.parametrize("home", HOMES[1:])
@pytest.mark.parametrize("loss", losses())
def test_class_of_a_loss_is_exported(home, loss):
    assert loss.replace("_", "") in {name.lower() for name in exported(home) if name[0].isupper()}


@every_home
def test_ranges_of_clauses_in_docstrings_end_where_the_conventions_end_and_name_clauses_that_there_are(home):
    last = max((name for name in clauses() if name.startswith("CV-")), key=lambda name: int(name[3:]))
    found = [
        re.findall(r"([A-Z]{2}-\d+) to ([A-Z]{2}-\d+)", path.read_text(encoding="utf-8")) for path in modules(home)
    ]
    ranges = {pair for pairs in found for pair in pairs}
    assert ranges >= {("CV-1", last)}
    assert {end for pair in ranges for end in pair} <= clauses().keys()
    assert {end for start, end in ranges if start == "CV-1"} == {last}


def test_every_backend_has_the_same_modules():
    alone = {"labelled.py", "graphs.py"}  # only Keras calls with (y_true, y_pred), only AutoGraph rewrites a function
    alone |= {"fused.py", "circle_sums.py", "screen.py", "gram.py", "counts.py", "farther.py"}  # torch: plain calls
    names = [{path.name for path in modules(home)} - alone for home in HOMES[1:]]
    assert names == [names[0]] * len(names)


@pytest.mark.parametrize("name", page_names())
def test_page_begins_with_its_title_and_is_in_the_index(name):
    assert re.match(r"# [A-Z]", page(name).text)
    assert f"({name}.md)" in (ROOT / "spec" / "README.md").read_text(encoding="utf-8")


GENERAL = ("conventions", "distances", "distributed", "pairwise")


@pytest.mark.parametrize("name", [n for n in page_names() if n not in GENERAL])
def test_formula_comes_before_the_signature_and_the_signature_before_the_clauses(name):
    text = page(name).text
    assert text.index("\n# " if text[0] != "#" else "# ") < text.index("## Signature") < text.index("### ")


# package folders

FOLDERS = sorted({path.parent for wing in WINGS for path in modules(wing)})


def test_every_package_folder_is_listed():
    listed = set(PROJECT["tool"]["setuptools"]["packages"])
    assert listed == {"lossproof", *(f"lossproof.{named(folder).replace('/', '.')}" for folder in FOLDERS)}


def test_every_wing_is_mapped_to_its_folder():
    wings = {f"lossproof.{wing}": wing for wing in WINGS}
    assert PROJECT["tool"]["setuptools"]["package-dir"] == {"lossproof": "package"} | wings


@pytest.mark.parametrize("folder", FOLDERS, ids=named)
def test_package_folder_has_an_init(folder):
    assert (folder / "__init__.py").is_file()


@pytest.mark.parametrize("folder", [*WINGS, *HOMES[1:]])
def test_package_is_typed(folder):
    assert (ROOT / folder / "py.typed").is_file()


@pytest.mark.parametrize("folder", [ROOT, ROOT / "lossproof"], ids=["root", "lossproof"])
def test_checkout_hides_no_installed_package(folder):
    """A folder `lossproof` here would be found before the installed one, so its files stand in package/."""
    assert not (folder / "__init__.py").exists()


def test_every_suffix_of_the_tree_is_packaged():
    patterns = PROJECT["tool"]["setuptools"]["package-data"]["*"]
    files = [p for wing in WINGS for p in (ROOT / wing).rglob("*") if p.is_file() and "__pycache__" not in p.parts]
    assert [named(p) for p in files if p.suffix != ".py" and not any(p.match(pattern) for pattern in patterns)] == []


# nothing of one person's machine

TEXT = {".py", ".md", ".toml", ".json", ".html", ".ini", ".cff", ".mjs", ".js", ".yml", ".in", ".jinja", ""}
PLACES = [f"/{folder}/" for folder in ("home", "root", "Users", "work", "tmp")]


def text_files():
    folders = (*WINGS, "audit", "docs", "package", "tests", "examples", "benchmarks")
    files = [*ROOT.glob("*"), *(ROOT / ".ci").glob("*"), *(p for folder in folders for p in (ROOT / folder).rglob("*"))]
    caches = {"__pycache__", ".hypothesis", ".git", "_build"}
    return [p for p in files if p.is_file() and p.suffix in TEXT and caches.isdisjoint(p.parts)]


def test_text_files_are_found():
    assert {"pyproject.toml", "README.md", "spec/triplet_margin.md", named(Path(__file__))} <= set(
        map(named, text_files())
    )


@pytest.mark.parametrize("place", PLACES)
def test_no_file_names_a_folder_of_one_machine(place):
    at_a_start = re.compile(r"(?<![\w.])" + re.escape(place))
    assert [named(p) for p in text_files() if at_a_start.search(p.read_text(encoding="utf-8"))] == []
