"""What LeRobot's own programs find by ``--discover_packages_path=sim.lerobot``."""
