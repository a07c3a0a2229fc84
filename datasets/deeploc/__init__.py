"""DeepLoc: loops through a campus by a robot whose pose is known, with masks of ten classes, from the user's folder."""

from kzoo.datasets.about import About

ABOUT = About(
    licence="for research, by the terms on its page (http://deeploc.cs.uni-freiburg.de)",
    source="the DeepLoc folder with train/ and test/, each with LeftImages/, labels/ and poses.txt",
    validation_is_test=True,
)
