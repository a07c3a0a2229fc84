"""Answers for the user's own pictures and videos."""
