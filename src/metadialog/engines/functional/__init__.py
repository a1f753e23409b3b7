"""The meta-gradient of any module, by `torch.func.vmap` over tasks; inner steps are computed again on the way back."""
