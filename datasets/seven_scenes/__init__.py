"""7-Scenes: rooms filmed by a hand-held camera whose pose is known, from the user's folder."""

from kzoo.datasets.about import About

LAYOUT = "seq-01/, … with TrainSplit.txt and TestSplit.txt, or train.txt and test.txt"
ABOUT = About(
    licence="for non-commercial use, by the licence in the official archives",
    source=f"the folder of one scene of 7-Scenes: {LAYOUT}",
    validation_is_test=True,
)
