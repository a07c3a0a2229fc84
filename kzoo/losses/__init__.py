"""What networks are trained with, one file per task."""
