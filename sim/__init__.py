"""MuJoCo tasks that know the truth, scripted experts, and collection of episodes."""
