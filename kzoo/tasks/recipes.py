"""Recipes: default flags for each data set, and for single architectures on it.

Keys are (dataset or "", arch or ""); of all rows that apply the last one of ("", ""), (dataset, ""), ("", arch),
(dataset, arch) wins.
"""

COMMON = {"schedule": "cosine", "optimizer": "adam", "weight_decay": 1e-4}  # of every recipe

POSE = {
    ("people", ""): dict(
        COMMON,
        size=128,
        encoder="small",
        encoder_weights="none",
        epochs=10,
        batch_size=16,
        lr=2e-3,
        warmup=0.5,
        augment=0.4,
    ),
    ("people", "regression"): dict(epochs=24),
    ("people", "softargmax"): dict(set=["widths=(64,64,64)", "skips=True"], loss_weights=["latent_heatmaps=0.5"]),
    ("people", "heatmap"): dict(set=["width=64"]),
    ("people", "simple_baseline"): dict(set=["widths=(64,64,64)"], loss_set=["sigma=1.5"]),
    ("people", "cpm"): dict(norm="batch", set=["width=12", "stages=3"], epochs=5, loss_set=["sigma=1"]),
    ("people", "deeppose"): dict(set=["sigma=1.0", "crop=32", "refine_widths=(16,32,64)", "refine_features=128"]),
    ("people", "part_heatmap"): dict(
        set=["variant='hourglass'", "width=8", "fc_width=128"], epochs=9, loss_set=["sigma=1.5"]
    ),
    ("people", "hourglass"): dict(set=["stacks=2", "width=64"], epochs=8, loss_set=["sigma=1.5"]),
    ("people", "hourglass_attention"): dict(set=["stacks=2", "width=32", "depth=3"], epochs=6, loss_set=["sigma=1.5"]),
    ("people", "pyranet"): dict(set=["stacks=2", "width=48", "depth=3"], epochs=7, loss_set=["sigma=1.5"]),
    ("people", "compositional"): dict(set=["width=48", "depth=3"], epochs=8, loss_set=["sigma=1.5"]),
    ("coco_subset/pose", ""): dict(
        COMMON,
        size=256,
        encoder="resnet50",
        encoder_weights="imagenet",
        epochs=40,
        batch_size=32,
        lr=5e-4,
        warmup=1,
        augment=1.0,
    ),
    ("coco_subset/pose", "softargmax"): dict(set=["skips=True"], loss_weights=["latent_heatmaps=0.5"]),
    ("coco_subset/pose", "part_heatmap"): dict(
        encoder="vgg16", loss_set=["sigma=5"]
    ),  # the maps have the picture's size
}

SEG = {
    ("people", ""): dict(
        COMMON,
        size=128,
        encoder="small",
        encoder_weights="none",
        epochs=4,
        batch_size=8,
        lr=2e-3,
        warmup=0.3,
        augment=0.2,
        loss="cross_entropy_dice",
    ),
    ("people", "fcn"): dict(size=256, epochs=3),  # one answer for 32x32 pixels: at 128 px there would be 4x4
    ("people", "encdec"): dict(set=["widths=(96,64,48)"], epochs=7),
    ("people", "unet"): dict(set=["widths=(96,64,48)"]),
    ("people", "fcn32s"): dict(size=256, epochs=2, norm="batch", set=["fc_width=256", "upsampling_trainable='all'"]),
    ("people", "fcn16s"): dict(size=256, norm="batch", epochs=3, set=["fc_width=256", "upsampling_trainable='all'"]),
    ("people", "fcn8s"): dict(norm="batch", set=["fc_width=256", "upsampling_trainable='all'"], epochs=5),
    ("people", "segnet"): dict(set=["width=16"], epochs=4),
    ("people", "unet2015"): dict(norm="batch", set=["width=16"], epochs=4),
    ("people", "frrn_a"): dict(size=96, set=["width=12", "lanes=8"], epochs=2),
    ("people", "frrn_b"): dict(size=96, set=["width=12", "lanes=8"], epochs=3),
    ("people", "fpn"): dict(set=["width=64", "branch_width=48"], epochs=4),
    ("people", "deeplabv3"): dict(set=["width=64", "output_stride=8", "rates=(1,2,3)"], epochs=5),
    ("people", "deeplabv3plus"): dict(set=["width=64", "low_width=24", "rates=(1,2,3)"], epochs=4),
    ("people", "resnet34_unet"): dict(encoder="resnet34", size=96, set=["widths=(96,64,48,32)"], epochs=2),
    **{
        (f"coco_subset/{config}", ""): dict(
            COMMON,
            size=256,
            encoder="resnet50",
            encoder_weights="imagenet",
            epochs=30,
            batch_size=16,
            lr=5e-4,
            warmup=1,
            augment=1.0,
        )
        for config in ("seg", "things")
    },
    ("room", ""): dict(
        COMMON,
        size="96x128",
        encoder="small",
        encoder_weights="none",
        epochs=8,
        batch_size=8,
        lr=2e-3,
        warmup=0.3,
        loss="cross_entropy_dice",
        augment=0.2,
    ),
    ("camvid", ""): dict(
        COMMON,
        size="384x512",
        encoder="resnet50",
        encoder_weights="imagenet",
        epochs=100,
        batch_size=8,
        lr=5e-4,
        warmup=2,
        augment=1.0,
        zoom=0.4,
        rotation=8.0,
        translate=0.0,
        loss="cross_entropy_dice",
    ),
}

POSE3D = {
    ("people/clips", ""): dict(
        COMMON,
        size=96,
        encoder="small",
        encoder_weights="none",
        epochs=10,
        batch_size=16,
        lr=1e-3,
        warmup=0.5,
        augment=0.0,
    ),
    ("people/clips", "conv_lstm"): dict(size=64, loss="mse", epochs=8),
    ("people/clips", "encoder_gru"): dict(
        size=64, set=["pool=flatten", "units=256"], lr=2e-3, epochs=14, augment=0.3, flip=0.0
    ),
    ("people/clips", "lift"): dict(set=["width=512", "dropout=0.1"], epochs=30, batch_size=32),
    ("people/clips", "temporal"): dict(set=["channels=256", "dropout=0.1"], epochs=30, batch_size=32),
    ("human36m", ""): dict(
        COMMON,
        size=224,
        encoder="resnet50",
        encoder_weights="imagenet",
        epochs=30,
        batch_size=16,
        lr=1e-3,
        warmup=0.5,
        augment=1.0,
    ),
    # the report's: 5 clips a step, Adam, 1e-4
    ("human36m", "conv_lstm"): dict(
        loss="mse", batch_size=5, lr=1e-4, weight_decay=0.0, schedule="constant", augment=0.0
    ),
}

ROOM = dict(
    COMMON,
    size="96x128",
    encoder="small",
    encoder_weights="none",
    batch_size=8,
    lr=1e-3,
    warmup=0.5,
    set=["features=256", "pool=flatten", "dropout=0.2"],
)
LOC = {
    ("room", ""): dict(ROOM, epochs=10, augment=0.6),
    ("room", "posenet"): dict(loss_weights=["rotation=3"]),
    ("room", "multitask"): dict(
        loss="uncertainty", set=[*ROOM["set"], "widths=(64,48,32)", "initial_weights=(-1.5,-2,0,0)"]
    ),
    ("room/labelled", "dual_input"): dict(set=[*ROOM["set"], "initial_weights=(-2,-3,0,0)"]),
    ("room/labelled", ""): dict(ROOM, epochs=10, augment=0.6),
    ("room/windows", "mapnet"): dict(set=[*ROOM["set"], "initial_weights=(-2,-3,-2,-3)"]),
    ("room/windows", ""): dict(ROOM, epochs=8, augment=0.6),
    **{
        (name, ""): dict(
            COMMON,
            size=size,
            encoder="resnet34",
            encoder_weights="none",
            epochs=300,
            batch_size=20,
            lr=1e-4,
            warmup=1,
            augment=1.0,
        )
        for name, size in (
            ("seven_scenes", "224x320"),
            ("seven_scenes/windows", "224x320"),
            ("deeploc", "256x480"),
            ("deeploc/windows", "256x480"),
        )
    },
    ("deeploc", "multitask"): dict(loss="uncertainty"),
}

CLUSTER = {
    ("digits", ""): dict(size=8, train_split="train+val", epochs=200, update_interval=30),
    ("mnist", ""): dict(size=28, train_split="train+test"),
    ("fashion_mnist", ""): dict(size=28, train_split="train+test"),
    ("usps", ""): dict(size=16, train_split="train+val", update_interval=30),
    # as DEC's authors cluster, whatever the data: all examples, 256 a step, Adam in place of SGD
    ("", ""): dict(
        COMMON,
        weight_decay=0.0,
        batch_size=256,
        lr=1e-3,
        cluster_lr=1e-3,
        epochs=100,
        rounds=100,
        update_interval=140,
        tol=0.001,
    ),
    ("digits", "fcae"): dict(epochs=50),
    ("", "fcae"): dict(
        batch_size=100, loss_weights=["assignment=100"]
    ),  # its authors sum the divergence over a batch of 100
    ("", "dec"): dict(
        loss_weights=["reconstruction=0", "assignment=1"]
    ),  # the auto-encoder is left alone in the second phase
}
