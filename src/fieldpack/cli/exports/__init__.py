"""`fieldpack collection exports`: what a server keeps of exports."""
