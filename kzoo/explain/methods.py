"""The methods of `kzoo.explain` by name, and what of its flags can be checked before a framework starts."""

from kzoo import UserError, cli

# Of `attribution`, in the figure's order.
GRADIENTS = ("saliency", "guided_backprop", "deconvnet", "integrated_gradients", "occlusion")
CAMS = ("grad_cam", "grad_cam_pp")  # of `kzoo.inference.grad_cam`
METHODS = (*GRADIENTS, *CAMS, "filters", "patches")
# A few passes each: what is done where no method is asked for. The others take seconds to minutes.
QUICK = ("saliency", "guided_backprop", "deconvnet", *CAMS, "filters")
# The map of a score and that of its negative differ in sign alone: one of two directions is enough.
ODD = ("saliency", "integrated_gradients", "occlusion")
UNITS = {  # output -> what it has a number for, a key of the data set's metadata
    **dict.fromkeys(("coords", "heatmaps", "disc_logits", "latent_heatmaps", "joints"), "joints"),
    "logits": "classes",
}
EXCITED = 4  # channels a layer whose patches are shown


def asked_methods(asked) -> list[str]:
    """Names of METHODS from what --method says; "all" and "quick" stand for several.

    Raises:
        UserError: an unknown one.
    """
    groups = {name: (name,) for name in METHODS} | {"quick": QUICK, "all": METHODS}
    names = [name for item in asked for name in cli.pick(groups, item.strip(), "method")]
    return list(dict.fromkeys(names))


def check_output(asked: str, metadata: dict, names: list[str]):
    """Raises UserError where the unit of --output is none of the names that the run's data set tells.

    What has no names, or is told apart by the network alone, is left to `kzoo.explain.targets`.

    Args:
        metadata: of the run's data set; names: of the run.
    """
    output, _, rest = asked.partition(":")
    unit, kind = rest.partition(":")[0], UNITS.get(output)
    if not unit or unit.isdecimal() or not metadata.get(kind):
        return
    known = [*metadata[kind], *(name for name in names if name not in metadata[kind])]
    if unit not in known:
        raise UserError(f"--output={asked}: {unit!r} is not one of the {kind}; {allowed(unit, known)}")


def allowed(name: str, known) -> str:
    """What is allowed in place of a name, and which may have been meant."""
    return f"allowed: {', '.join(known)}{cli.meant(name, known)}"
