"""What streams while a network trains (Keras), and what is exact over all predictions (NumPy)."""
