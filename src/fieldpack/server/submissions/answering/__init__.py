"""The rules by which an answer is read and kept."""
