"""The programs that have no parts of their own, one file each: flags and main over what the library does."""
