"""The command ``person-search``: one module per subcommand."""
