"""Figures for this machine, each beside a peer or a limit in the same run."""
