"""Erasing one person or many: what would go, shown first; then done, with a proof that names nobody."""
