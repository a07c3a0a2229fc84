"""The lab course's report: which runs it needs, who trains them, what their numbers say, and the two pages."""
