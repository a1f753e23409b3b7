"""A trained model in use: adapted to dialogues, asked for replies, scored and saved."""
