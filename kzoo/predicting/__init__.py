"""The user's own pictures and videos: what is read, what is written."""
