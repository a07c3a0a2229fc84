"""Camera localisation: rotations, losses, metrics, heads, baselines, scores and pictures."""
