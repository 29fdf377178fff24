"""Pages that look after the installation, for its operators."""
