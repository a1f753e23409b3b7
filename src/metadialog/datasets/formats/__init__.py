"""The formats that people's own dialogues are in: logs, chat exports, spreadsheets, and JSON of several kinds."""
