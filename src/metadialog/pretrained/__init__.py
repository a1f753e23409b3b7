"""Language models that others have trained: where their files are, and how their chats are written."""
