"""Training one architecture: flags -> task -> data -> model -> compile -> fit -> report, a file for each phase."""
