"""Episodes in, labels out: recordings, LeRobot datasets, frame cache, labelling, reports."""
