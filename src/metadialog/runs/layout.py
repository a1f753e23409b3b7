"""The names of all files of a run directory, a sweep directory and an exported model; they stand nowhere else."""

from pathlib import Path

# A run directory.
CONFIG = "config.yaml"
STATUS = "status.json"
METRICS = "metrics.jsonl"
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

# What Hydra writes of each job.
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
OLD_MODEL_CONFIG = "config.yaml"  # what version 0.1.0 wrote in its place
MODEL_CARD = "README.md"
SUPPORT = "support.jsonl"  # the dialogues that a model was adapted to, where its replies are taken from them

# A sweep directory.
SWEEP = "sweep.json"
TRIALS = "trials.jsonl"
STUDY = "study.db"
MULTIRUN = "multirun.yaml"


def hydra_config(run: Path) -> Path:
    """Return the file that Hydra wrote a job's composed config to."""
    return run / HYDRA / HYDRA_CONFIG


def hydra_settings(run: Path) -> Path:
    """Return the file that Hydra wrote its own settings for a job to."""
    return run / HYDRA / HYDRA_SETTINGS


def hydra_overrides(run: Path) -> Path:
    """Return the file that Hydra wrote a job's overrides to."""
    return run / HYDRA / HYDRA_OVERRIDES
