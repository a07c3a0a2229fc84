"""Scoring runs and telling what was found."""
