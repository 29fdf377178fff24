"""A collection's submissions with their answers, as researchers look through them: filtered, sorted, by the page."""
