"""Pictures of one clustering run: what its network and its report hand to `kzoo.figures.embeddings`."""

import keras
import numpy as np

from kzoo.figures import embeddings


def cluster_charts(result: dict, names, labels, predictions) -> dict:
    """{"confusion.png"} of a labelled split; see `cluster_scores.cluster_report`."""
    if "confusion" not in result:
        return {}
    titles = [f"cluster {k}" for k in result["cluster_order"]]
    return {"confusion.png": embeddings.cluster_confusion(result["confusion"], names, titles)}


def mosaic(images: dict, result: dict, names):
    """The most confident examples of each cluster.

    Args:
        images: example -> (H, W, 3) uint8, or a clip (T, H, W, 3), whose middle frame is shown.
        result: of `cluster_scores.cluster_report`.
    """
    shown, titles = {}, {}
    for cluster, examples in result["cluster_examples"].items():
        if not len(examples):
            continue
        cluster = int(cluster)
        shown[cluster] = np.stack([_middle_frame(images[example]) for example in examples])
        matched = result["matching"][cluster]
        titles[cluster] = f"cluster {cluster}\nmatched: {names[matched]}" if matched >= 0 else f"cluster {cluster}"
    return embeddings.mosaic(shown, titles)


def _middle_frame(image):
    return image if image.ndim == 3 else image[len(image) // 2]


def inside(model: keras.Model, rounds: dict | None, pictures, titles, names) -> dict:
    """Pictures of a run: {"embedding.png", "centroids.png", "reconstructions.png"}, such as there can be.

    Args:
        model: the run's.
        rounds: what its rounds found, see `training.cluster_state`; None where there were none.
        pictures: (N, H, W, 3) uint8, and their titles.
        names: of the classes.
    """
    # The codes of some rounds.
    drawn = {}
    centres = keras.ops.convert_to_numpy(model.get_layer("clusters").centres)
    if rounds:
        numbers = sorted(int(name[5:]) for name in rounds if name.startswith("codes"))
        stages = {f"after {n} rounds": n for n in (numbers[0], numbers[len(numbers) // 2], numbers[-1])}
        codes = {title: rounds[f"codes{n}"] for title, n in stages.items()}
        assigned = {title: rounds["assigned"][n][: len(codes[title])] for title, n in stages.items()}
        labels = rounds["labels"] if len(names) else None
        last = list(codes)[-1]
        drawn["embedding.png"] = embeddings.embedding_figure(codes, labels, assigned, names, {last: centres})
    if any(isinstance(layer, keras.Model) for layer in model.layers):
        return drawn  # a reconstruction is then one of an embedding, and no picture

    # What the auto-encoder makes of pictures, and of the centres.
    rms = float(keras.ops.convert_to_numpy(model.get_layer("signal").rms))
    reconstructed = model.predict_on_batch(pictures)["reconstruction"] * rms
    titles = [title.replace(", ", "\n") for title in titles]  # the pictures are small
    drawn["reconstructions.png"] = embeddings.reconstructions(pictures, reconstructed, titles)
    try:
        decoder = keras.Model(model.get_layer("clusters").input, model.output["reconstruction"])
    except ValueError:  # it reads more than the code, where the encoder's maxima were for instance
        return drawn
    titles = [f"cluster {k}" for k in range(len(centres))]
    drawn["centroids.png"] = embeddings.centroids_figure(decoder.predict_on_batch(centres) * rms, titles)
    return drawn
