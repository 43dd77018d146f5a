"""Files, names, the allocator and what commands share: what has no better room."""
