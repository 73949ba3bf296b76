"""The import rule of ARCHITECTURE.md, held by a test."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MAY_IMPORT: dict[str, set[str]] = {
    "robo_reward": set(),
    "data": {"robo_reward"},
    "sim": {"robo_reward", "data"},
    "policies": {"robo_reward", "data", "sim"},
    "hardware": {"robo_reward", "data", "policies"},
}
SOURCES = sorted(path for package in MAY_IMPORT for path in (ROOT / package).rglob("*.py"))


def imported_packages(source: str) -> set[str]:
    """Return which of our packages a file imports by name."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module.split(".")[0])
    return names & set(MAY_IMPORT)


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_imports_flow_one_way(package: str) -> None:
    for path in (ROOT / package).rglob("*.py"):
        extra = imported_packages(path.read_text()) - MAY_IMPORT[package]
        hint = "relative imports inside a package" if package in extra else "see ARCHITECTURE.md"
        assert not extra, f"{path.relative_to(ROOT)} imports {sorted(extra)}; {hint}"


def test_the_rule_notices_a_forbidden_import() -> None:
    assert imported_packages("import sim.env\nfrom data import x\nfrom .sim import y") == {
        "sim",
        "data",
    }


def _module_imports(path: Path) -> set[Path]:
    """Return the files of the same package that a file imports when it is itself imported."""
    found: set[Path] = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.ImportFrom) and node.level:
            base = path.parents[node.level - 1]
            parts = (node.module or "").split(".") if node.module else []
            target = base.joinpath(*parts)
            for name in [alias.name for alias in node.names]:
                for candidate in (target / f"{name}.py", target.with_suffix(".py")):
                    if candidate.is_file() and candidate != path:
                        found.add(candidate)
    return found


def test_no_import_cycles() -> None:
    graph = {path: _module_imports(path) for path in SOURCES}
    done: set[Path] = set()

    def visit(path: Path, trail: tuple[Path, ...]) -> None:
        assert path not in trail, " -> ".join(str(p.relative_to(ROOT)) for p in (*trail, path))
        if path not in done:
            for target in graph.get(path, set()):
                visit(target, (*trail, path))
            done.add(path)

    for path in SOURCES:
        visit(path, ())


def test_files_stay_readable() -> None:
    for path in SOURCES:
        lines = path.read_text().splitlines()
        assert len(lines) <= 300, f"{path.relative_to(ROOT)}: {len(lines)} lines"
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                size = (node.end_lineno or 0) - node.lineno + 1
                assert size <= 60, f"{path.relative_to(ROOT)}:{node.lineno} {node.name}: {size}"


def test_the_core_works_beside_foreign_packages_of_our_names(tmp_path: Path) -> None:
    for name in ("data", "sim", "policies", "hardware"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise RuntimeError('a stranger')\n")
    code = "import robo_reward, robo_reward.progress, robo_reward.targets"
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, timeout=60)
