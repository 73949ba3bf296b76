"""Procedural textures for table and floor, as MJCF; all are made at compile time, none is a file.

The textures are light greys, so a geom's own colour shines through them. They are small and
compiled once: a reset only chooses among them through ``geom_matid``.
"""

SURFACES = ("speckle", "tiles", "check", "grain", "weave")
"""Names of the materials."""

_TEXTURES = """
<texture name="speckle" type="2d" builtin="flat" rgb1="1 1 1" mark="random"
         markrgb="0.62 0.62 0.64" random="0.25" width="64" height="64"/>
<texture name="tiles" type="2d" builtin="flat" rgb1="1 1 1" mark="edge"
         markrgb="0.55 0.55 0.55" width="64" height="64"/>
<texture name="check" type="2d" builtin="checker" rgb1="1 1 1" rgb2="0.74 0.74 0.72"
         width="32" height="32"/>
<texture name="grain" type="2d" builtin="gradient" rgb1="1 0.97 0.92" rgb2="0.72 0.66 0.58"
         width="64" height="64"/>
<texture name="weave" type="2d" builtin="flat" rgb1="0.95 0.95 0.97" mark="cross"
         markrgb="0.66 0.66 0.7" width="32" height="32"/>
"""
_REPEAT = {"speckle": 3, "tiles": 6, "check": 5, "grain": 4, "weave": 12}
"""How often a texture repeats in one metre."""


def surfaces_xml() -> str:
    """Return textures and materials, for ``<asset>``."""
    materials = "".join(
        f'<material name="{name}" texture="{name}" texuniform="true" '
        f'texrepeat="{_REPEAT[name]} {_REPEAT[name]}" specular="0" shininess="0"/>'
        for name in SURFACES
    )
    return _TEXTURES + materials
