"""The methods of `kzoo.explain` by name. Nothing is imported here: the program's flags name them."""

# Of `attribution`, in the figure's order.
GRADIENTS = ("saliency", "guided_backprop", "deconvnet", "integrated_gradients", "occlusion")
CAMS = ("grad_cam", "grad_cam_pp")  # of `kzoo.inference.grad_cam`
METHODS = (*GRADIENTS, *CAMS, "filters", "patches")
# The map of a score and that of its negative differ in sign alone: one of two directions is enough.
ODD = ("saliency", "integrated_gradients", "occlusion")
EXCITED = 4  # channels a layer whose patches are shown
