"""Use of trained models: adaptation to dialogues, replies, scores and saving."""
