"""What the attention of localisation is drawn for."""

from keras import ops

from kzoo.metrics import loc_scores


def nearness(labels):
    """Score of localisation, (B,): minus the distance of the camera's centre to the truth in metres.

    Its attention is on what draws the answer towards the truth.

    Args:
        labels: (B, 7) or (B, T, 7) poses; of windows the middle frame counts.
    """
    truth = loc_scores.middle_frame(labels)[:, :3].astype("float32")

    def score(outputs):
        position = outputs["position"]
        position = position if len(position.shape) == 2 else position[:, position.shape[1] // 2]
        return -ops.sqrt(
            ops.sum(ops.square(position - ops.convert_to_tensor(truth)), axis=-1) + 1e-12
        )  # the root's slope at 0 is infinite

    return score
