"""How a participant begins, and goes on: who may, by what they hold."""
