"""USPS: 9,298 grey 16x16 digits from envelopes."""
