"""How researchers prove who they are (passwords, second factors and the like), and how often they may try."""
