"""Files and chat formats of pretrained language models."""
