"""The file names of run directories, sweep directories and exported models, defined only here."""

from pathlib import Path

# A run directory.
CONFIG = "config.yaml"
STATUS = "status.json"
SCALARS = "metrics.jsonl"
RECORDS = "adaptation.parquet"
SAMPLES = "samples.jsonl"
SELECTION = "selection.json"
COST = "cost.json"
TRIAL = "trial.json"
PREDICTIONS = "predictions.jsonl"
CHECKPOINTS = "checkpoints"
LAST = "last"
BEST = "best"
MODEL = "model"
LOCK = ".lock"

# Files that Hydra writes for each job.
HYDRA = ".hydra"
HYDRA_CONFIG = "config.yaml"
HYDRA_SETTINGS = "hydra.yaml"
HYDRA_OVERRIDES = "overrides.yaml"

# An exported model.
WEIGHTS = "model.safetensors"
LEARNED = "algorithm.safetensors"
TOKENIZER = "tokenizer.json"
CHECKSUMS = "checksums.json"
MODEL_CONFIG = "config.json"
OLD_MODEL_CONFIG = "config.yaml"  # its name in version 0.1.0
MODEL_CARD = "README.md"
SUPPORT = "support.jsonl"  # dialogues that a model was adapted to, if its replies are taken from them

# A sweep directory.
SWEEP = "sweep.json"
TRIALS = "trials.jsonl"
STUDY = "study.db"
MULTIRUN = "multirun.yaml"


def hydra_config(run: Path) -> Path:
    """Return Hydra's file with the composed config of a job."""
    return run / HYDRA / HYDRA_CONFIG


def hydra_settings(run: Path) -> Path:
    """Return Hydra's file with its own settings of a job."""
    return run / HYDRA / HYDRA_SETTINGS


def hydra_overrides(run: Path) -> Path:
    """Return Hydra's file with the overrides of a job."""
    return run / HYDRA / HYDRA_OVERRIDES
