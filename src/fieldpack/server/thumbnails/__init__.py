"""Small pictures of what participants uploaded: made once, in a child process that can do nothing else."""
