"""Human3.6M: clips of acting people with joints in three dimensions, from the user's own copy."""
