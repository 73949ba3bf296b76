"""Every public name of the five packages is documented, and what is exported is there."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("robo_reward", "data", "sim", "policies", "hardware")
MODULES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
type Named = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def public(body: list[ast.stmt], prefix: str = "") -> Iterator[tuple[str, Named]]:
    """Yield the public classes, functions and methods that a module or class defines."""
    for node in body:
        if isinstance(node, Named.__value__) and not node.name.startswith("_"):
            yield prefix + node.name, node
            if isinstance(node, ast.ClassDef):
                yield from public(node.body, f"{prefix}{node.name}.")


def undocumented(source: str) -> list[str]:
    """Return the public names of a module without a docstring; ``module`` for its own."""
    tree = ast.parse(source)
    missing = [] if ast.get_docstring(tree) else ["module"]
    return missing + [name for name, node in public(tree.body) if not ast.get_docstring(node)]


def exporting() -> list[str]:
    """Return the dotted names of our modules that have ``__all__``."""
    found = []
    for path in MODULES:
        if "__all__ = " in path.read_text():
            parts = path.relative_to(ROOT).with_suffix("").parts
            found.append(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
    return found


def test_every_public_name_is_documented() -> None:
    missing = {
        str(path.relative_to(ROOT)): names
        for path in MODULES
        if (names := undocumented(path.read_text()))
    }
    assert not missing


def test_what_is_not_documented_is_noticed() -> None:
    source = "class A:\n  '''Do.'''\n  def b(self): ...\n  def _c(self): ...\ndef d(): ..."
    assert undocumented(source) == ["module", "A.b", "d"]


@pytest.mark.parametrize("module", exporting())
def test_every_exported_name_is_there_once_and_sorted(module: str) -> None:
    found = import_module(module)
    assert len(set(found.__all__)) == len(found.__all__)
    for name in found.__all__:
        assert getattr(found, name) is not None


@pytest.mark.parametrize("package", PACKAGES)
def test_every_package_says_what_it_is_for(package: str) -> None:
    assert import_module(package).__doc__
    assert (ROOT / package / "py.typed").is_file()


def test_the_public_entry_is_load() -> None:
    import robo_reward
    from robo_reward.checkpoint import load
    from robo_reward.model import Labels, Model
    from robo_reward.protocols import References, Verdict

    assert robo_reward.load is load
    assert (robo_reward.Labels, robo_reward.Model) == (Labels, Model)
    assert (robo_reward.References, robo_reward.Verdict) == (References, Verdict)


def test_a_name_that_is_not_there_is_told() -> None:
    import robo_reward

    with pytest.raises(AttributeError, match="'robo_reward' has no attribute 'laod'"):
        _ = robo_reward.laod


def test_importing_the_packages_costs_nothing_heavy() -> None:
    code = (
        "import sys, robo_reward, data, sim, policies, hardware; robo_reward.References();"
        "assert not {'torch', 'lerobot', 'mujoco', 'transformers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
