"""millpond beside its peers, scenario by scenario."""
