"""Formats of users' own dialogues: logs, chat exports, spreadsheets, and several kinds of JSON."""
