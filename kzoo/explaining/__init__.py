"""Looking inside a network: what is explained, of what; Grad-CAM, gradients, occlusion; what excites a channel."""
