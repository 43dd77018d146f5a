"""Indexing, searching and forgetting: what the commands and the page do."""
