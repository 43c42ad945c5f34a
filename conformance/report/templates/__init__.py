"""The page made from a certificate."""
