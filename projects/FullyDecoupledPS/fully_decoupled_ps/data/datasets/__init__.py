"""One loader and one register function for each layout, the protocols, and the built-in names."""
