"""What ``person-search convert`` does: other formats to the project's JSON."""
