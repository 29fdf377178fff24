"""What the machine gives: descriptors, room on its disk; and what is told of it: logs and figures."""
