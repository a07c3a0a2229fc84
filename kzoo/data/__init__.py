"""From records to batches: data sets, pictures, transforms, the input pipeline."""
