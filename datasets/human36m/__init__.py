"""Human3.6M: clips of acting people with joints in three dimensions, from the user's own copy."""

from kzoo.datasets.about import About

LAYOUT = "S1/Videos, … with metadata.xml and D3_Positions_mono, or with data_3d_h36m.npz"
ABOUT = About(
    licence="Human3.6M's licence: academic use, the data must not be passed on (http://vision.imar.ro/human3.6m)",
    limits="Seven actors in one laboratory, four cameras: clothes, rooms and actions beyond these were not scored.",
    source=f"the folder of your Human3.6M: {LAYOUT}",
)
