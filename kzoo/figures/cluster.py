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
        images: example -> (H, W, 3) uint8, or a clip (T, H, W, 3), whose middle frame is shown; result: of
        `cluster_scores.cluster_report`.
    """
    rows, titles = {}, {}
    for cluster, examples in result["cluster_examples"].items():
        if len(examples):
            found, cluster = [images[example] for example in examples], int(cluster)
            rows[cluster] = np.stack([image if image.ndim == 3 else image[len(image) // 2] for image in found])
            matched = result["matching"][cluster]
            titles[cluster] = f"cluster {cluster}" + (f": {names[matched]}" if matched >= 0 else "")
    return embeddings.mosaic(rows, titles)


def inside(model: keras.Model, rounds: dict | None, pictures, titles, names) -> dict:
    """Pictures of a run: {"embedding.png", "centroids.png", "reconstructions.png"}, such as there can be.

    Args:
        model: the run's; rounds: what its rounds found, see `training.cluster_state`; pictures: (N, H, W, 3) uint8, and their titles; names: of the classes.
    """
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
    rms = float(keras.ops.convert_to_numpy(model.get_layer("signal").rms))
    found = model.predict_on_batch(pictures)
    titles = [title.replace(", ", "\n") for title in titles]  # the pictures are small
    drawn["reconstructions.png"] = embeddings.reconstructions(pictures, found["reconstruction"] * rms, titles)
    try:
        decoder = keras.Model(model.get_layer("clusters").input, model.output["reconstruction"])
    except ValueError:  # it reads more than the code, where the encoder's maxima were for instance
        return drawn
    drawn["centroids.png"] = embeddings.centroids_figure(
        decoder.predict_on_batch(centres) * rms, [f"cluster {k}" for k in range(len(centres))]
    )
    return drawn
