"""What pyproject.toml cannot say: every package below src/, and `conf/` as one more."""

from setuptools import find_packages, setup

setup(packages=["hydra_plugins.metadialog_sweeper", *find_packages("src", include=["metadialog*"]), "metadialog.conf"])
