"""What `moesaic explore` shows of the configurations that the compiler's exploration finds."""
