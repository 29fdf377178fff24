"""The rules by which an answer is read, checked and saved."""
