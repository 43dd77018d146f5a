"""The command ``person-search``: one module a subcommand."""
