"""CamVid: street scenes from a driving car with a mask of 11 classes."""
