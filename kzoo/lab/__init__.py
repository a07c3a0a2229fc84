"""The lab course's report of two pages."""
