"""Values that people send, cleaned and told apart: HTML, URLs, participant ids, the types of JSON."""
