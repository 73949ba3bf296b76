"""Pages that need nothing else: templates and styles of the package, filled in."""

import re
from collections.abc import Mapping
from importlib import resources


def asset(name: str) -> str:
    """Return a text file that lies beside this module."""
    return (resources.files(__package__) / name).read_text(encoding="utf-8")


def fill(template: str, parts: Mapping[str, str]) -> str:
    """Return a template with every ``{{name}}`` replaced by its part; parts are not filled in."""
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found.group(1)], template)
