"""7-Scenes: rooms filmed by a hand-held camera whose pose is known, from the user's folder."""
