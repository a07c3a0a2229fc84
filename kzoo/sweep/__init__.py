"""Many runs: the study, its trials, their statistics and report."""
