"""Exports as files for other programs: made by a child process out of the archive, served like it, gone with it."""
