"""TFDS's own data sets that kzoo has recipes for: downloaded on first use, described here."""

from kzoo.datasets.about import SMALL_GREY, About

# licences from https://keras.io/api/datasets
ABOUT = {
    "mnist": About(
        licence="CC BY-SA 3.0, copyright of Yann LeCun and Corinna Cortes", limits=SMALL_GREY, made="downloading it"
    ),
    "fashion_mnist": About(licence="MIT, copyright of Zalando SE", limits=SMALL_GREY, made="downloading it"),
}
