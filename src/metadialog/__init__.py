"""metadialog: few-shot dialogue by meta-learning."""
