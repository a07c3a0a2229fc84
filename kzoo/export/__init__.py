"""Networks in forms that serve elsewhere."""
