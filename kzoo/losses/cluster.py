"""Losses of deep clustering: float32, each example's own value, of which Keras takes the mean over the batch.

`Loss` subclasses rather than functions, because Keras squeezes a trailing axis of 1 for functions.
"""

import keras
from keras import ops

SMALLEST = 1e-12  # probabilities are raised to it before their logarithm


def _compared(y_true, y_pred):
    """Both in float32.

    Raises:
        ValueError: shapes differ behind the batch, and would be broadcast.
    """
    if tuple(y_true.shape[1:]) != tuple(y_pred.shape[1:]):
        raise ValueError(
            f"labels and answers must have the same shape, got {tuple(y_true.shape)} and {tuple(y_pred.shape)}"
        )
    return ops.cast(y_true, "float32"), ops.cast(y_pred, "float32")


@keras.saving.register_keras_serializable("kzoo")
class ClusterKL(keras.losses.Loss):
    """Kullback-Leibler divergence KL(P || Q) of the soft assignment from its target: cluster hardening.

    Call: y_true (B, K) the target p, y_pred (B, K) the assignment q, rows that sum to 1 -> (B,) sum over j of
    p log(p / q), where 0 log 0 is 0; finite for q = 0 too.

    Raises:
        ValueError: the shapes differ.

    Reference: Xie, Girshick and Farhadi, Unsupervised Deep Embedding for Clustering Analysis, ICML 2016, eq. 2, which
    sums over the examples: as in Guo et al. (IJCAI 2017) it is their mean here, so that the rate of learning does not
    depend on the batch.
    """

    def __init__(self, name: str = "cluster_kl", **kwargs):
        super().__init__(name=name, **kwargs)

    def call(self, y_true, y_pred):
        p, q = _compared(y_true, y_pred)
        log_p = ops.log(ops.maximum(p, SMALLEST))
        log_q = ops.log(ops.maximum(q, SMALLEST))
        return ops.sum(p * (log_p - log_q), axis=-1)

    def get_config(self):
        return super().get_config()


@keras.saving.register_keras_serializable("kzoo")
class ReconstructionMSE(keras.losses.Loss):
    """Squared difference of a reconstruction, mean over all elements.

    Call: y_true, y_pred (B, ...) of the same shape -> (B,).

    Raises:
        ValueError: the shapes differ.
    """

    def __init__(self, name: str = "reconstruction_mse", **kwargs):
        super().__init__(name=name, **kwargs)

    def call(self, y_true, y_pred):
        y_true, y_pred = _compared(y_true, y_pred)
        return ops.mean(ops.square(y_pred - y_true), axis=tuple(range(1, len(y_pred.shape))))

    def get_config(self):
        return super().get_config()
