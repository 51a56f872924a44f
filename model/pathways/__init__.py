"""Which experts each task uses, and restricting tasks to some of them."""
