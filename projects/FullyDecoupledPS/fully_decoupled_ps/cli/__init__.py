"""The subcommands of `person-search`, one module each."""
