"""Commands about studies and who takes part, with the names and flags of the hosted service's own client."""
