"""Pages that need nothing else: templates and styles of the package, filled in."""

import base64
import hashlib
import re
from collections.abc import Mapping
from importlib import resources


def asset(name: str) -> str:
    """Return a text file that lies beside this module."""
    return (resources.files(__package__) / name).read_text(encoding="utf-8")


def fill(template: str, parts: Mapping[str, str]) -> str:
    """Return a template with every ``{{name}}`` replaced by its part; parts are not filled in."""
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found.group(1)], template)


def script(*names: str) -> str:
    """Return scripts of this package as one, whose names are its own."""
    code = "".join(asset(name) for name in names)
    return f'"use strict";\n(() => {{\n{code}}})();\n'


def inline_hash(text: str) -> str:
    """Return what a content security policy calls a script or style that stands in the page."""
    digest = hashlib.sha256(text.encode()).digest()
    return "sha256-" + base64.b64encode(digest).decode()
