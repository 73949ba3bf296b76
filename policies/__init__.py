"""Vision-language-action policies and their refinement. Nothing here works yet."""
