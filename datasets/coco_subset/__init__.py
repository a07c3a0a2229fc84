"""The COCO subset: person crops with 17 joints and a mask, and whole pictures with masks."""

from kzoo.datasets.about import OFFICIAL, About

TERMS = "https://cocodataset.org/#termsofuse"
ABOUT = About(
    licence=f"annotations CC BY 4.0; the photographs are under the Flickr licences of their owners ({TERMS})",
    limits="Photographs of the web; scores were not taken apart by the persons' age, sex or skin colour.",
    source=f"a COCO folder, the lab's coco_subset.zip, or {OFFICIAL!r} (a download of 20 GB)",
    downloadable=True,
)
