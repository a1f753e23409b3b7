"""Files in, dialogues out: data sets, their cleaning and their description."""
