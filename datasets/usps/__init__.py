"""USPS: 9,298 grey 16x16 digits from envelopes."""

from kzoo.datasets.about import SMALL_GREY, About

HOMEPAGE = "https://www.csie.ntu.edu.tw/~cjlin/libsvmtools/datasets/multiclass.html"
ABOUT = About(
    licence="none is stated; the digits belong to their authors",
    limits=SMALL_GREY,
    source=f"the folder with usps.bz2 and usps.t.bz2 from {HOMEPAGE}",
    validation_is_test=True,
)
