"""Progress judged from several cameras, and the reward made of it."""
