"""The sweeper that `conf/sweep` chooses; Hydra takes plugins from the namespace `hydra_plugins` alone."""
