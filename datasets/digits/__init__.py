"""Optical Recognition of Handwritten Digits: the 1,797 grey 8x8 digits that scikit-learn brings along."""

from kzoo.datasets.about import SMALL_GREY, About

HOMEPAGE = "https://archive.ics.uci.edu/dataset/80/optical+recognition+of+handwritten+digits"
ABOUT = About(licence=f"CC BY 4.0 ({HOMEPAGE})", limits=SMALL_GREY, made="packing scikit-learn's")
