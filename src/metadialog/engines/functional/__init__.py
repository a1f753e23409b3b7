"""The meta-gradient of any module, by `torch.func.vmap` over tasks, with recomputed inner steps."""
