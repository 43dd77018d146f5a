"""Files, names, the allocator and numbers of the command line: what has no better room."""
