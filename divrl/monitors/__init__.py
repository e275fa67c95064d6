"""What is watched during a run, and where it is written."""
