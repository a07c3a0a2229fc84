"""Optical Recognition of Handwritten Digits: the 1,797 grey 8x8 digits that scikit-learn brings along."""
