"""What `fit` needs."""
