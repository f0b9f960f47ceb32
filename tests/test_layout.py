"""The shape of the source tree: which way imports point, how long files get, what `import prooftape` costs.

The checks read the sources with `ast`, so they also see a module that nothing imports. Each is a function
from sources to complaints, and is itself tested on a planted offender: one that never complains would pass.
"""

from __future__ import annotations

import ast
import graphlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SRC = ROOT / "src"
MAX_LINES = 450
IMPORT_SECONDS = 0.3

# Low to high; a module may import from its own row and from earlier rows, never from a later one.
# "prooftape" is the package itself, its public names: what stands after it, `import prooftape` does not load.
LAYERS = [
    "errors types numbers naturals literal attributes files torch_names",
    "kernels vocabulary arrays scalars",
    "op declare",
    "ops",
    "graph* recompilation",
    "semantics tape domains",
    "theory certificates",
    (
        "state statistics handles same signatures operators handle_methods op_methods indexing "
        "param grads replay recording recorder replaying xla taped on_device session profiling"
    ),
    "transforms training distributed",
    "prooftape",
    "testing interop viz cli __main__",
]
# Third-party libraries other than NumPy, and the parts of the package that may import them on loading.
# Everyone else imports them inside the function that needs them, so that the extra stays an extra.
HOMES = {
    "flint": "",
    "hypothesis": "testing",
    "jax": "xla",
    "matplotlib": "cli viz",
    "ml_dtypes": "",
    "rich": "cli",
    "safetensors": "",
    "scipy": "",
    "sklearn": "cli",
    "torch": "",
    "typer": "cli",
}

Sources = dict[str, ast.Module]


def read_sources() -> Sources:
    paths = sorted((SRC / "prooftape").rglob("*.py"))
    return {str(path.relative_to(SRC)): ast.parse(path.read_text(), str(path)) for path in paths}


def dotted(path: str) -> str:
    return ".".join(Path(path).with_suffix("").parts).removesuffix(".__init__")


def part(module: str) -> str:
    """The name that stands in LAYERS: `prooftape.ops.conv` is of the part `ops`."""
    return module.split(".")[1] if "." in module else module


def layer(module: str) -> int | None:
    names = ((name, row) for row, names in enumerate(LAYERS) for name in names.split())
    return next((row for name, row in names if re.fullmatch(name.replace("*", ".*"), part(module))), None)


def walk_on_loading(tree: ast.AST) -> Iterator[ast.AST]:
    """What runs when the module is imported: no function bodies, nothing under TYPE_CHECKING."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            yield from (inner for branch in node.orelse for inner in [branch, *walk_on_loading(branch)])
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield node
            yield from walk_on_loading(node)


def imported(path: str, nodes: Iterator[ast.AST], modules: set[str]) -> Iterator[tuple[int, str]]:
    """(line, module) of each import; `from package import name` means the submodule, if there is one."""
    package = dotted(path) if path.endswith("__init__.py") else dotted(path).rpartition(".")[0]
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) + 1 - node.level] if node.level else []
            source = ".".join([*above, *([node.module] if node.module else [])])
            for alias in node.names:
                whole = f"{source}.{alias.name}"
                yield node.lineno, whole if whole in modules else source


def upward_imports(sources: Sources) -> list[str]:
    """Imports against the order of LAYERS; those inside functions count: hiding one does not turn it."""
    modules = {dotted(path) for path in sources}
    complaints = [
        f"{path}: give {part(dotted(path))!r} a place in LAYERS"
        for path in sources
        if layer(dotted(path)) is None
    ]
    for path, tree in sources.items():
        here = layer(dotted(path))
        for line, target in imported(path, ast.walk(tree), modules):
            if target.split(".")[0] != "prooftape" or here is None:
                continue
            there = layer(target)
            if there is None or there > here:
                complaints.append(f"{path}:{line}: imports {target}, which is above it")
    return complaints


def import_cycle(sources: Sources) -> list[str]:
    modules = {dotted(path) for path in sources}
    needs = {
        dotted(path): {target for _, target in imported(path, walk_on_loading(tree), modules)}
        & modules - {dotted(path)}
        for path, tree in sources.items()
    }
    try:
        graphlib.TopologicalSorter(needs).prepare()
    except graphlib.CycleError as error:
        return [" -> ".join(error.args[1])]
    return []


def heavy_imports(sources: Sources) -> list[str]:
    """Third-party imports on loading a module, outside the parts that are at home with them."""
    known = sys.stdlib_module_names | {"numpy", "prooftape"}
    complaints = []
    for path, tree in sources.items():
        for line, target in imported(path, walk_on_loading(tree), set()):
            top = target.split(".")[0]
            if top not in known and part(dotted(path)) not in HOMES.get(top, "").split():
                complaints.append(f"{path}:{line}: imports {target} on loading")
    return complaints


def text_files() -> Iterator[Path]:
    """What is, or would be, committed; a tree without git (a source archive) is walked instead."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    if listed.returncode == 0:
        paths = [ROOT / name for name in listed.stdout.split("\0") if name]
    else:
        folders = ("src", "tests", "docs", "benchmarks", "scripts", "proofs")
        paths = [
            path
            for folder in folders
            for path in (ROOT / folder).rglob("*")
            if "__pycache__" not in path.parts
        ]
    for path in paths:
        if path.is_file() and b"\0" not in path.read_bytes()[:8192]:
            yield path


# A home folder, a mounted work folder or a version manager's folder. The slash is kept apart so that this
# file does not find itself.
S = "/"
MACHINE_PATH = re.compile(rf"{S}home/\w|{S}root/|{S}Users/\w|(?<![\w.>)]){S}work/|{S}\.pyenv\b|C:\\+Users")


def machine_paths(text: str) -> list[str]:
    return [
        f"{number}: {line.strip()}"
        for number, line in enumerate(text.splitlines(), 1)
        if MACHINE_PATH.search(line)
    ]


def test_imports_point_one_way() -> None:
    sources = read_sources()
    assert sources, "no sources found"
    assert upward_imports(sources) == []


def test_modules_load_without_a_cycle() -> None:
    assert import_cycle(read_sources()) == []


def test_extras_are_not_imported_on_loading() -> None:
    assert heavy_imports(read_sources()) == []


def test_files_stay_short() -> None:
    lengths = {path: len(path.read_text().splitlines()) for path in SRC.rglob("*.py")}
    assert {str(path.relative_to(ROOT)): n for path, n in lengths.items() if n > MAX_LINES} == {}


def test_no_file_is_named_utils() -> None:
    assert [
        path for path in text_files() if path.name in {"utils.py", "util.py", "helpers.py", "misc.py"}
    ] == []


def test_no_machine_paths() -> None:
    found = {
        str(path.relative_to(ROOT)): machine_paths(path.read_text(errors="replace")) for path in text_files()
    }
    assert {path: lines for path, lines in found.items() if lines} == {}


PLANTED = {
    "upward": ("prooftape/tape.py", "from prooftape.session import Session", upward_imports),
    "upward, hidden": ("prooftape/tape.py", "def f():\n    import prooftape.session", upward_imports),
    "upward, relative": ("prooftape/ops/conv.py", "from .. import session", upward_imports),
    "upward, to the public names": ("prooftape/graph_text.py", "from prooftape import grad", upward_imports),
    "no place": ("prooftape/odds_and_ends.py", "", upward_imports),
    "cycle": ("prooftape/session.py", "import prooftape.handles", import_cycle),
    "third party": (
        "prooftape/training.py",
        "try:\n    import safetensors.numpy\nexcept ImportError: ...",
        heavy_imports,
    ),
    "third party, unheard of": ("prooftape/cli/show.py", "from pandas import read_csv", heavy_imports),
}


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_offender_is_found(name: str) -> None:
    path, text, check = PLANTED[name]
    innocent = {
        "prooftape/session.py": "",
        "prooftape/handles.py": "from prooftape.session import Session",
        "prooftape/cli/demo.py": "import typer\nif TYPE_CHECKING:\n  import jax\ndef f():\n  import torch",
    }
    sources = {place: ast.parse(source) for place, source in innocent.items()}
    assert check(sources) == []
    assert len(check(sources | {path: ast.parse(text)})) == 1


@pytest.mark.parametrize(
    "path", [f"{S}home/ada/x.py", f"at('{S}root/lib')", f"~{S}.pyenv/bin", f"cd {S}work/x"]
)
def test_a_planted_machine_path_is_found(path: str) -> None:
    assert len(machine_paths(f"fine = src/work/1\n{path}\n")) == 1


LOAD = """
import json, sys, time
before = set(sys.modules)
wall, cpu = time.perf_counter(), time.process_time()
import prooftape
wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
assert prooftape.__file__, "prooftape has no __init__.py: nothing was imported"
print(json.dumps([wall, cpu, sorted({name.split(".")[0] for name in set(sys.modules) - before})]))
"""


def load_prooftape() -> tuple[float, float, set[str]]:
    """Seconds on the clock, seconds of processor time, and what a fresh interpreter loads for the import."""
    environment = os.environ | {"PYTHONPATH": str(SRC), "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", LOAD], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    wall, cpu, loaded = json.loads(done.stdout)
    return float(wall), float(cpu), set(loaded)


def test_importing_loads_numpy_only() -> None:
    assert load_prooftape()[2] - sys.stdlib_module_names - {"numpy", "prooftape"} == set()


def test_importing_is_quick() -> None:
    """Judged by the least processor time of five: other tests that share the cores only ever add to it.

    On an idle machine the two agree. What this does not see is an import that waits, for a disk or a network.
    """
    wall, cpu, _ = zip(*(load_prooftape() for _ in range(5)), strict=True)
    print("import prooftape, seconds on the clock:", *(f"{seconds:.3f}" for seconds in wall))
    print("import prooftape, seconds of processor:", *(f"{seconds:.3f}" for seconds in cpu))
    assert min(cpu) < IMPORT_SECONDS


def test_dir_has_every_public_name() -> None:
    import prooftape

    assert set(prooftape.__all__) <= set(dir(prooftape))
