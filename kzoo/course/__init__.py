"""The lab course's report: which runs answer its questions, and the two pages they are answered on."""
