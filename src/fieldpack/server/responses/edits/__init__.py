"""What a change of a collection does to the answers that were given: said before it is made."""
