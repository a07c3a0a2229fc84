"""The COCO subset: person crops with 17 joints and a mask, and whole pictures with masks."""
