"""Vision-language-action policies; their refinement is still to come."""
