"""Pages of studies: made, opened, paused and ended, with their links, codes and test runs."""
