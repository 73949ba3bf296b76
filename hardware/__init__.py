"""The bridge to real arms. Nothing here works yet."""
