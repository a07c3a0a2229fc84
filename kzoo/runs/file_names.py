"""What the files and folders in a run folder are called. Only `kzoo.runs` knows."""

CONFIGURATION, HISTORY, MODEL, REPORT = "run.json", "history.csv", "model.keras", "report.json"
REPORT_TEXT, CARD, FIGURES = "report.md", "README.md", "pictures"
REPORTS = "reports"  # folder of those of other conditions: <condition>.json and .md, and their pictures in <condition>/
CALIBRATION = "calibration.json"
TENSORBOARD, EXPLANATIONS, EXPORTS = "tensorboard", "explanations", "exports.json"
LR_RANGE = ("lr_range.json", "lr_range.png")
CURVES, LOSS_WEIGHTS = "curves.png", "loss_weights.png"  # drawn after every epoch
STATE, PRETRAINED = "last.weights.h5", "pretraining.weights.h5"  # to continue from: of a training, of its first phase
ROUNDS, CLUSTERING = "rounds.npz", "clustering.json"  # of clustering: what each round found; baselines and the end
PARTS = ("pose_run", "features")  # keywords of networks that are networks of other runs, and the names of their copies
