"""From own recordings to identities: tracklets, and a person's decisions of who is the same."""
