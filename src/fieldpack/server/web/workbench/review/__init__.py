"""Decisions that are held, as pages show them: what is pending, and taking it back."""
