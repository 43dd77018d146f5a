"""The page of ``person-search label``: a person says who is the same, by keyboard or finger."""
