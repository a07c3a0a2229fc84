"""Deep clustering: training without labels, its state on disk, networks, losses, scores and pictures."""
