"""3-D pose: skeletons, alignment, metrics, scores and pictures; 2-D joints for lifting."""
