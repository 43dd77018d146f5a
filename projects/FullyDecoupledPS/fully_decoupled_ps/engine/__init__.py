"""Training and evaluation runs: the checks before them, processes, hooks, logs and resuming."""
