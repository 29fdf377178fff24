"""Moving in: archives, of this server or of the hosted service, become collections here."""
