"""What goes between this package and others, each module imported only where its package is installed."""
