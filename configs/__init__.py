"""Hardware configurations, one TOML file each; see `moesaic.spec.configuration`."""
