"""What stands in deploy/: read, checked by the programs it is for where they are installed, and run."""
