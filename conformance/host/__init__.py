"""Asks an implementation: cases, what a target is and offers, its process, how each framework is called."""
