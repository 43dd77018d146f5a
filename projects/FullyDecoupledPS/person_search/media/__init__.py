"""Pictures and videos: which there are, what their names say, and reading them."""
