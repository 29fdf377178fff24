"""What reviewers decide: the rule of what a decision does, and decisions that are held before they are made."""
