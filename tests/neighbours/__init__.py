"""The package beside others, as they are installed; each file skips itself where its packages are not."""
