"""Programs over what the library does: flags and a thin main each; train/, which has parts, is a package."""
