"""What assistants may ask of a server and do there, as tools of the Model Context Protocol; `fieldpack mcp` runs it."""
