"""Human3.6M's cameras: read from the user's calibration, from world to camera coordinates, from there to pixels.

Pixel positions have their origin at the outer corner of the first pixel, as everywhere in kzoo. The release does not
say whether it means that corner or the pixel's centre; the difference is half a pixel of 1000.
"""

import dataclasses
import xml.etree.ElementTree as ElementTree

import h5py
import numpy as np

CAMERAS = ("54138969", "55011271", "58860488", "60457274")  # in the order of the calibration files
XML_SUBJECTS = 11  # S1 to S11
EXTRINSICS, INTRINSICS = 6, 9  # numbers of metadata.xml per camera and subject, and per camera
MM = 1000


@dataclasses.dataclass(frozen=True, eq=False)
class Camera:
    """One camera as it stood for one subject.

    Attributes:
      rotation: (3, 3), world to camera.
      position: (3,) metres, world coordinates.
      focal: (2,) pixels.
      centre: (2,) pixels, the principal point.
      radial: (3,) k1, k2, k3.
      tangential: (2,) p1, p2.
    """

    rotation: np.ndarray
    position: np.ndarray
    focal: np.ndarray
    centre: np.ndarray
    radial: np.ndarray
    tangential: np.ndarray

    def from_world(self, points):
        """(..., 3) metres in world coordinates -> camera coordinates: x right, y down, z away from the camera."""
        return (points - self.position) @ self.rotation.T

    def project(self, points):
        """(..., 3) metres in camera coordinates -> (..., 2) pixels with the lens's distortion.

        Brown's model as in Heikkila and Silven, "A four-step camera calibration procedure with implicit image
        correction", CVPR 1997, eq. 3 and 4. Much code for this set halves the tangential terms in x y, x² and y²; that
        differs by tenths of a pixel.
        """
        plane = points[..., :2] / points[..., 2:]
        squared = (plane**2).sum(-1, keepdims=True)
        k1, k2, k3 = self.radial
        scale = 1 + squared * (k1 + squared * (k2 + squared * k3))
        p = self.tangential
        shear = 2 * (plane * p[::-1]).sum(-1, keepdims=True)  # 2 (p1 y + p2 x)
        return (plane * (scale + shear) + squared * p[::-1]) * self.focal + self.centre


def read_cameras(path) -> dict[tuple[int, str], Camera]:
    """(subject, camera's name) -> Camera.

    Args:
      path: the release's metadata.xml, or cameras.h5 of Martinez et al., "A simple yet effective baseline for 3d human
      pose estimation".
    Raises:
      ValueError: the file cannot be read or its numbers are no cameras.
    """
    try:
        cameras = _read_hdf5(path) if path.suffix == ".h5" else _read_xml(path)
    except (OSError, ValueError, SyntaxError, LookupError, TypeError) as error:
        raise ValueError(f"{path}: no readable cameras of Human3.6M ({' '.join(str(error).split())})") from error
    for (subject, name), camera in cameras.items():
        if not np.allclose(camera.rotation @ camera.rotation.T, np.eye(3), atol=1e-3) or not (camera.focal > 0).all():
            raise ValueError(
                f"{path}: the numbers of S{subject}'s camera {name} are no camera: no rotation, or no positive focal "
                "length"
            )
    return cameras


def _read_xml(path):
    """Cameras of the vector w0.

    It is three angles and a position for each camera and subject, then nine numbers of each camera's lens.
    """
    node = ElementTree.parse(path).getroot().find(".//w0")
    if node is None:
        raise ValueError("no element w0")
    vector = np.array(node.text.strip().strip("[]").split(), float)
    outer = len(CAMERAS) * XML_SUBJECTS * EXTRINSICS
    if vector.size != outer + len(CAMERAS) * INTRINSICS:
        raise ValueError(f"w0 has {vector.size} numbers; expected {outer + len(CAMERAS) * INTRINSICS}")
    poses = vector[:outer].reshape(len(CAMERAS), XML_SUBJECTS, EXTRINSICS)
    lenses = vector[outer:].reshape(len(CAMERAS), INTRINSICS)
    cameras = {}
    for name, views, lens in zip(CAMERAS, poses, lenses, strict=True):
        for subject, pose in enumerate(views, start=1):
            if pose.any():  # subjects without a calibration are zeros
                outer = (_rotation(pose[:3]), pose[3:] / MM)
                cameras[subject, name] = Camera(*outer, lens[:2], lens[2:4], lens[4:7], lens[7:])
    return cameras


def _rotation(angles):
    """Rx(a) Ry(b) Rz(c), in radians."""
    (ca, cb, cc), (sa, sb, sc) = np.cos(angles), np.sin(angles)
    x = np.array([[1, 0, 0], [0, ca, -sa], [0, sa, ca]])
    y = np.array([[cb, 0, sb], [0, 1, 0], [-sb, 0, cb]])
    z = np.array([[cc, -sc, 0], [sc, cc, 0], [0, 0, 1]])
    return x @ y @ z


def _read_hdf5(path):
    """Cameras of the groups subject<n>/camera<m>.

    MATLAB wrote them, so matrices are transposed and the name is an array of letters.
    """
    cameras = {}
    with h5py.File(path, "r") as file:
        for subject in file:
            for group in file[subject].values():
                values = {key: np.asarray(group[key], float) for key in ("R", "T", "f", "c", "k", "p")}
                name = "".join(chr(int(letter)) for letter in np.ravel(group["Name"]))
                rotation, *flat = values.pop("R").T, *(value.ravel() for value in values.values())
                if [value.size for value in (rotation, *flat)] != [9, 3, 2, 2, 3, 2]:
                    raise ValueError(f"{group.name}: R, T, f, c, k, p with 9, 3, 2, 2, 3, 2 numbers expected")
                cameras[int(subject.removeprefix("subject")), name] = Camera(rotation, flat[0] / MM, *flat[1:])
    return cameras
