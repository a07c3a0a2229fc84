"""DeepLoc: loops through a campus by a robot whose pose is known, with masks of ten classes, from the user's folder."""
